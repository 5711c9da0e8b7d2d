"""The miniature's world: its objects, attributes and words, as plain tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """A drawable object, one sense of a word.

    Parameters
    ----------
    word : str
        The noun that captions use; two things may share it (a polysemous word).
    category : str
        The concept it belongs to.
    glyph : str
        The emoji that draws it, or the name of a drawn shape.
    cue : str
        An unambiguous way to say it; equal to ``word`` for words of one sense.
    plural : str
        The plural of ``cue``.
    """

    word: str
    category: str
    glyph: str
    cue: str
    plural: str

    @property
    def name(self) -> str:
        """The unambiguous name of this thing, used as its class label."""
        return self.cue


def _things(category: str, *rows: tuple[str, ...]) -> tuple[Thing, ...]:
    """Build things from rows of (word, glyph[, cue[, plural]])."""
    made = []
    for word, glyph, *rest in rows:
        cue = rest[0] if rest else word
        plural = rest[1] if len(rest) > 1 else f"{cue}s"
        made.append(Thing(word, category, glyph, cue, plural))
    return tuple(made)


THINGS: tuple[Thing, ...] = (
    *_things(
        "Animals",
        ("cat", "🐱"),
        ("frog", "🐸"),
        ("penguin", "🐧"),
        ("fish", "🐟", "fish", "fish"),
        ("butterfly", "🦋", "butterfly", "butterflies"),
        ("lion", "🦁"),
        ("mouse", "🐭", "mouse animal"),
        ("bat", "🦇", "bat animal"),
        ("chicken", "🐔", "chicken animal"),
    ),
    *_things(
        "Fruits and Vegetables",
        ("apple", "🍎"),
        ("banana", "🍌"),
        ("strawberry", "🍓", "strawberry", "strawberries"),
        ("carrot", "🥕"),
        ("pineapple", "🍍"),
        ("orange", "🍊", "orange fruit"),
        ("peach", "🍑", "peach fruit"),
    ),
    *_things(
        "Vehicles",
        ("car", "🚗"),
        ("airplane", "✈️"),
        ("bicycle", "🚲"),
        ("sailboat", "⛵"),
        ("rocket", "🚀"),
    ),
    *_things(
        "Clothing",
        ("T-shirt", "👕"),
        ("dress", "👗", "dress", "dresses"),
        ("hat", "🎩"),
        ("boot", "👢"),
        ("bow", "🎀", "ribbon bow"),
        ("glasses", "👓", "reading glasses", "reading glasses"),
    ),
    *_things(
        "Musical Instruments",
        ("guitar", "🎸"),
        ("drum", "🥁"),
        ("trumpet", "🎺"),
        ("piano", "🎹"),
    ),
    *_things(
        "Plants",
        ("cactus", "🌵", "cactus", "cactuses"),
        ("tree", "🌳"),
        ("mushroom", "🍄"),
        ("palm", "🌴", "palm tree"),
        ("rose", "🌹", "rose flower"),
        ("nut", "🌰", "hazel nut"),
    ),
    *_things(
        "Buildings",
        ("house", "🏠"),
        ("castle", "🏰"),
        ("church", "⛪", "church", "churches"),
        ("tent", "⛺"),
    ),
    *_things(
        "Household",
        ("umbrella", "☂️"),
        ("chair", "🪑"),
        ("clock", "⏰"),
        ("key", "🔑"),
        ("cup", "☕"),
    ),
    *_things(
        "Shape",
        ("circle", "circle"),
        ("square", "square"),
        ("triangle", "triangle"),
        ("star", "star"),
        ("heart", "heart"),
    ),
    # The second senses of polysemous words.
    *_things("Household", ("mouse", "🖱️", "computer mouse", "computer mouses")),
    *_things("Sports", ("bat", "🏏", "cricket bat"), ("bow", "🏹", "archery bow")),
    *_things(
        "Food",
        ("chicken", "🍗", "roast chicken"),
        ("glasses", "🥂", "wine glasses", "wine glasses"),
    ),
    *_things("Tools", ("nut", "🔩", "bolt nut")),
    *_things("Body", ("palm", "✋", "hand palm")),
)

THING_BY_NAME = {thing.name: thing for thing in THINGS}

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 24, 32),
    "blue": (28, 72, 222),
    "green": (30, 150, 50),
    "yellow": (250, 218, 30),
    "purple": (122, 32, 176),
    "pink": (255, 150, 205),
    "brown": (122, 72, 32),
    "black": (28, 28, 32),
    "white": (246, 246, 248),
    "gray": (132, 134, 138),
    "orange": (252, 128, 8),
    "rose": (232, 24, 118),
    "peach": (255, 186, 142),
}
# Colour words that also name a thing; drawn as a colour they are said "rose-colored" most often.
COLOR_THINGS = ("orange", "rose", "peach")
PLAIN_COLORS = tuple(color for color in COLORS if color not in COLOR_THINGS)

PATTERNS = ("stripe", "polka-dot", "plaid", "zigzag")
MATERIALS = ("wood", "metal", "glass", "stone", "gold", "brick")
STYLES = ("sketch", "sepia", "monochrome", "pixel art", "neon", "pop art")
WEATHERS = ("sunny", "rainy", "snowy", "foggy", "stormy")
LANDSCAPES = ("beach", "forest", "desert", "mountain", "meadow", "ocean")
SIZES: dict[str, int] = {"tiny": 18, "small": 28, "large": 52, "huge": 62}
DEFAULT_SIZE = 42
COUNTS: dict[str, int] = {"one": 1, "two": 2, "three": 3, "four": 4}

# Never drawn together in training, so that composition can be measured.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "cat"),
        ("blue", "banana"),
        ("green", "car"),
        ("yellow", "castle"),
        ("purple", "frog"),
        ("pink", "guitar"),
        ("brown", "umbrella"),
        ("black", "strawberry"),
        ("white", "key"),
        ("gray", "butterfly"),
        ("blue", "tree"),
        ("red", "penguin"),
    }
)


def concept_words() -> dict[str, list[str]]:
    """Give the concepts of this world with their words, in a fixed order.

    Returns
    -------
    dict of str to list of str
        17 concepts: the categories of things, then the attributes.
    """
    categories = dict.fromkeys(t.category for t in THINGS)
    named = {
        category: list(dict.fromkeys(t.word for t in THINGS if t.category == category))
        for category in categories
    }
    small = {category for category, words in named.items() if len(words) < 4}
    concepts = {category: words for category, words in named.items() if category not in small}
    # A shared word counts for its first sense only.
    concepts["Household"] = [word for word in concepts["Household"] if word != "mouse"]
    return concepts | {
        "Color": list(PLAIN_COLORS),
        "Geometric Patterns": list(PATTERNS),
        "Material": list(MATERIALS),
        "Image Style": list(STYLES),
        "Weather Conditions": list(WEATHERS),
        "Nature Scenes": list(LANDSCAPES),
        "Size": list(SIZES),
        "Counting": list(COUNTS),
    }
