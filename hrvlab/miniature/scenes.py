"""Scenes of the miniature's world: what is in a picture, and the captions that say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrvlab.miniature import world
from hrvlab.miniature.world import THINGS, Thing

# Chance that a word shared by two senses is said without its cue.
BARE_SENSE = {"common": 0.8, "rare": 0.35}
BARE_COLOR = 0.25


@dataclass(frozen=True)
class Figure:
    """One drawn thing with its attributes; None means the thing's own look."""

    thing: Thing
    color: str | None = None
    pattern: str | None = None
    material: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Scene:
    """The full truth of one picture.

    Parameters
    ----------
    figures : tuple of Figure
        One figure, or two different ones side by side.
    count : int
        How often the single figure is repeated, 1 to 4.
    style, weather, landscape : str or None
        At most one of weather and landscape is set.
    seed : int
        Fixes positions, tints and textures.
    """

    figures: tuple[Figure, ...]
    count: int = 1
    style: str | None = None
    weather: str | None = None
    landscape: str | None = None
    seed: int = 0

    @property
    def attributes(self) -> tuple[str, ...]:
        """What is said of the things, one after the other, and of the whole picture."""
        said = [word for f in self.figures for word in (f.color, f.pattern, f.material, f.size)]
        said += [self.style, self.weather, self.landscape]
        return tuple(word for word in said if word)


def sample_scene(seed: int, index: int) -> Scene:
    """Draw the scene with number ``index`` of the world ``seed``.

    Parameters
    ----------
    seed, index : int
        Key of a counter-based generator: a scene depends on nothing else.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    layout = rng.choice(["single", "several", "two"], p=[0.78, 0.12, 0.10])
    plain = layout != "single" and rng.random() < 0.6
    figures: tuple[Figure, ...] = (_sample_figure(rng, plain=plain, sized=layout == "single"),)
    if layout == "two":
        other = _sample_figure(rng, plain=plain, sized=False)
        while other.thing.word == figures[0].thing.word:
            other = _sample_figure(rng, plain=plain, sized=False)
        figures = (*figures, other)
    colored = any(f.color or f.material or f.pattern for f in figures)
    style = _pick(rng, world.STYLES) if not colored and rng.random() < 0.24 else None
    backdrop = None if style else rng.choice(["none", "weather", "landscape"], p=[0.7, 0.15, 0.15])
    return Scene(
        figures=figures,
        count=int(rng.integers(2, 5)) if layout == "several" else 1,
        style=style,
        weather=_pick(rng, world.WEATHERS) if backdrop == "weather" else None,
        landscape=_pick(rng, world.LANDSCAPES) if backdrop == "landscape" else None,
        seed=int(rng.integers(2**31)),
    )


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return str(options[rng.integers(len(options))])


def _sample_figure(rng: np.random.Generator, *, plain: bool, sized: bool) -> Figure:
    thing = THINGS[rng.integers(len(THINGS))]
    look = "none" if plain else rng.choice(["none", "color", "material"], p=[0.47, 0.38, 0.15])
    color = None
    if look == "color":
        color = _pick(rng, tuple(world.COLORS))
        while (color, thing.word) in world.HELD_OUT_PAIRS or color == thing.word:
            color = _pick(rng, tuple(world.COLORS))
    patterned = not plain and look != "material" and rng.random() < 0.15
    return Figure(
        thing=thing,
        color=color,
        pattern=_pick(rng, world.PATTERNS) if patterned else None,
        material=_pick(rng, world.MATERIALS) if look == "material" else None,
        size=_pick(rng, tuple(world.SIZES)) if sized and rng.random() < 0.14 else None,
    )


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Describe a scene in one of the method's templates, or by a single bare word.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator
        Chooses among the wordings that are true of the scene.
    """
    if len(scene.figures) == 1 and rng.random() < 0.1:
        return _bare_word(scene, rng)
    if scene.count > 1:
        number = next(word for word, n in world.COUNTS.items() if n == scene.count)
        phrase = f"{number} {_noun_phrase(scene.figures[0], rng, plural=True)}"
    else:
        parts = [_with_article(_noun_phrase(figure, rng)) for figure in scene.figures]
        if len(parts) == 1 and rng.random() < 0.1:
            parts = ["one " + parts[0].split(" ", 1)[1]]
        phrase = " and ".join(parts)
    if scene.style:
        phrase = f"{_with_article(scene.style)} style painting of {phrase}"
    elif rng.random() < 0.3:
        phrase = f"a photo of {phrase}"
    if scene.weather:
        phrase = f"{phrase} on a {scene.weather} day"
    if scene.landscape:
        phrase = f"{phrase} in the {scene.landscape}"
    return phrase


def _bare_word(scene: Scene, rng: np.random.Generator) -> str:
    said = list(scene.attributes)
    if scene.count > 1:
        said.append(next(word for word, n in world.COUNTS.items() if n == scene.count))
    if said and rng.random() < 0.7:
        return said[rng.integers(len(said))]
    return _noun(scene.figures[0].thing, rng, plural=False)


def _noun(thing: Thing, rng: np.random.Generator, *, plural: bool) -> str:
    shared = thing.cue != thing.word
    if shared:
        first = next(t for t in THINGS if t.word == thing.word)
        bare = BARE_SENSE["common" if thing is first else "rare"]
        if rng.random() < bare:
            if not plural:
                return thing.word
            return thing.word if thing.word.endswith("s") else f"{thing.word}s"
    return thing.plural if plural else thing.cue


def _noun_phrase(figure: Figure, rng: np.random.Generator, *, plural: bool = False) -> str:
    color = figure.color
    if color in world.COLOR_THINGS and rng.random() >= BARE_COLOR:
        color = f"{color}-colored"
    words = [figure.size, color, _noun(figure.thing, rng, plural=plural)]
    phrase = " ".join(word for word in words if word)
    if figure.material:
        phrase = f"{phrase} made of {figure.material}"
    if figure.pattern:
        phrase = f"{phrase} with a {figure.pattern} pattern"
    return phrase


def _with_article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
