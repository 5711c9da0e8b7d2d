"""The miniature's world as plain tables: its objects, their attributes, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorldObject:
    """An object of the world; a word with two senses names two of them.

    Parameters
    ----------
    word : str
        The noun in captions. Two objects share it if the word is ambiguous.
    category : str
        The concept that the object belongs to.
    glyph : str
        The emoji that depicts it, or the name of a plain shape.
    cue : str
        An unambiguous phrase for it; equal to ``word`` if the word has one sense.
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
        """The unambiguous name, used as the class label."""
        return self.cue

    @property
    def bare_plural(self) -> str:
        """The plural of the word alone."""
        if self.word.endswith("s"):
            return self.word
        return f"{self.word}{'es' if self.word.endswith('ch') else 's'}"


def _objects(category: str, *rows: tuple[str, ...]) -> tuple[WorldObject, ...]:
    """Build the objects of a category from rows of (word, glyph[, cue[, plural]])."""
    built = []
    for word, glyph, *rest in rows:
        cue = rest[0] if rest else word
        plural = rest[1] if len(rest) > 1 else f"{cue}s"
        built.append(WorldObject(word, category, glyph, cue, plural))
    return tuple(built)


OBJECTS: tuple[WorldObject, ...] = (
    *_objects(
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
        ("dog", "🐶"),
        ("bird", "🐦"),
        ("horse", "🐴"),
        ("elephant", "🐘"),
        ("bear", "🐻"),
        ("rabbit", "🐰"),
    ),
    *_objects(
        "Fruits and Vegetables",
        ("apple", "🍎"),
        ("banana", "🍌"),
        ("strawberry", "🍓", "strawberry", "strawberries"),
        ("carrot", "🥕"),
        ("pineapple", "🍍"),
        ("orange", "🍊", "orange fruit"),
        ("peach", "🍑", "peach fruit"),
    ),
    *_objects(
        "Vehicles",
        ("car", "🚗"),
        ("airplane", "✈️"),
        ("bicycle", "🚲"),
        ("sailboat", "⛵"),
        ("rocket", "🚀"),
        ("boat", "🚤"),
        ("train", "🚂"),
        ("bus", "🚌", "bus", "buses"),
    ),
    *_objects(
        "Clothing",
        ("T-shirt", "👕"),
        ("dress", "👗", "dress", "dresses"),
        ("hat", "🎩"),
        ("boot", "👢"),
        ("bow", "🎀", "ribbon bow"),
        ("glasses", "👓", "reading glasses", "reading glasses"),
    ),
    *_objects(
        "Musical Instruments",
        ("guitar", "🎸"),
        ("drum", "🥁"),
        ("trumpet", "🎺"),
        ("piano", "🎹"),
    ),
    *_objects(
        "Plants",
        ("cactus", "🌵", "cactus", "cactuses"),
        ("tree", "🌳"),
        ("mushroom", "🍄"),
        ("palm", "🌴", "palm tree"),
        ("rose", "🌹", "rose flower"),
        ("nut", "🌰", "hazel nut"),
        ("flower", "🌷"),
    ),
    *_objects(
        "Buildings",
        ("house", "🏠"),
        ("castle", "🏰"),
        ("church", "⛪", "church", "churches"),
        ("tent", "⛺"),
    ),
    *_objects(
        "Household",
        ("umbrella", "☂️"),
        ("chair", "🪑"),
        ("clock", "⏰"),
        ("key", "🔑"),
        ("cup", "☕"),
        ("book", "📖"),
        ("lamp", "💡"),
    ),
    *_objects(
        "Shape",
        ("circle", "circle"),
        ("square", "square"),
        ("triangle", "triangle"),
        ("star", "star"),
        ("heart", "heart"),
    ),
    *_objects("Sports", ("ball", "⚽")),
    *_objects("Food", ("cake", "🍰"), ("pizza", "🍕")),
    # The second senses of the ambiguous words.
    *_objects("Household", ("mouse", "🖱️", "computer mouse", "computer mouses")),
    *_objects("Sports", ("bat", "🏏", "cricket bat"), ("bow", "🏹", "archery bow")),
    *_objects(
        "Food",
        ("chicken", "🍗", "roast chicken"),
        ("glasses", "🥂", "wine glasses", "wine glasses"),
    ),
    *_objects("Tools", ("nut", "🔩", "bolt nut")),
    *_objects("Body", ("palm", "✋", "hand palm")),
)

OBJECT_BY_NAME = {each.name: each for each in OBJECTS}

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
# Color words that also name an object; captions mostly disambiguate them as "rose-colored".
COLOR_OBJECTS = ("orange", "rose", "peach")
PLAIN_COLORS = tuple(color for color in COLORS if color not in COLOR_OBJECTS)

PATTERNS = ("stripe", "polka-dot", "plaid", "zigzag")
MATERIALS = ("wood", "metal", "glass", "stone", "gold", "brick")
STYLES = ("sketch", "sepia", "monochrome", "pixel art", "neon", "pop art")
WEATHERS = ("sunny", "rainy", "snowy", "foggy", "stormy")
LANDSCAPES = ("beach", "forest", "desert", "mountain", "meadow", "ocean")
SIZES: dict[str, int] = {"tiny": 18, "small": 28, "large": 52, "huge": 62}
DEFAULT_SIZE = 42
COUNTS: dict[str, int] = {"one": 1, "two": 2, "three": 3, "four": 4}

# Excluded from the training scenes, so that compositional generalization can be measured.
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
    """List the words of every concept of the world.

    Returns
    -------
    dict of str to list of str
        17 concepts in a fixed order: the categories of objects, then the attributes.
    """
    # An ambiguous word belongs to the concept of its first sense only.
    category_of: dict[str, str] = {}
    for each in OBJECTS:
        category_of.setdefault(each.word, each.category)
    named = {
        category: [word for word, its in category_of.items() if its == category]
        for category in dict.fromkeys(category_of.values())
    }
    return {category: words for category, words in named.items() if len(words) >= 4} | {
        "Color": list(PLAIN_COLORS),
        "Geometric Patterns": list(PATTERNS),
        "Material": list(MATERIALS),
        "Image Style": list(STYLES),
        "Weather Conditions": list(WEATHERS),
        "Nature Scenes": list(LANDSCAPES),
        "Size": list(SIZES),
        "Counting": list(COUNTS),
    }
