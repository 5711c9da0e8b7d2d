"""Scenes of the miniature's world, sampled at random, and their captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hrvlab.miniature import world
from hrvlab.miniature.world import OBJECTS

if TYPE_CHECKING:
    from hrvlab.miniature.world import WorldObject

# Probability that a caption uses an ambiguous word alone, by how common the meant sense is, and
# that it says "rose" rather than "rose-colored".
BARE_SENSE = {"common": 0.8, "rare": 0.35}
BARE_COLOR = 0.25
LAYOUTS = {"single": 0.70, "several": 0.12, "two": 0.18}
# Two objects that are both colored are what models forget first: every fourth pair, and more.
LOOKS_OF_SEVERAL = {
    "several": {"none": 0.6, "any": 0.4},
    "two": {"none": 0.4, "colored": 0.3, "any": 0.3},
}
LOOKS = {"none": 0.44, "color": 0.36, "material": 0.20}


@dataclass(frozen=True)
class Figure:
    """An object in a scene with its attributes; None keeps the look of the emoji.

    Parameters
    ----------
    object : WorldObject
    color, pattern, material, size : str, optional
    """

    object: WorldObject
    color: str | None = None
    pattern: str | None = None
    material: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Scene:
    """The complete ground truth of one image.

    Parameters
    ----------
    figures : tuple of Figure
        One figure, or two of different words side by side.
    count : int
        Copies of the single figure, 1 to 4.
    style, weather, landscape : str, optional
        At most one of the three is set.
    seed : int
        Of the positions, the background and the weather when the scene is rendered.
    """

    figures: tuple[Figure, ...]
    count: int = 1
    style: str | None = None
    weather: str | None = None
    landscape: str | None = None
    seed: int = 0

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes: those of each figure in turn, then those of the whole image."""
        words = [word for f in self.figures for word in (f.color, f.pattern, f.material, f.size)]
        words += [self.style, self.weather, self.landscape]
        return tuple(word for word in words if word)


def sample_scene(seed: int, index: int) -> Scene:
    """Sample a scene at random.

    Parameters
    ----------
    seed, index : int
        Key of a counter-based generator; the scene depends on nothing else.

    Returns
    -------
    Scene
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    layout = str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
    shares = LOOKS_OF_SEVERAL.get(layout, {"any": 1.0})
    looks = str(rng.choice(list(shares), p=list(shares.values())))
    figures: tuple[Figure, ...] = (_sample_figure(rng, looks, sized=layout == "single"),)
    if layout == "two":
        other = _sample_figure(rng, looks, sized=False)
        while other.object.word == figures[0].object.word or (
            looks == "colored" and other.color == figures[0].color
        ):
            other = _sample_figure(rng, looks, sized=False)
        figures = (*figures, other)
    colored = any(f.color or f.material or f.pattern for f in figures)
    style = _pick(rng, world.STYLES) if not colored and rng.random() < 0.3 else None
    backdrop = None if style else rng.choice(["none", "weather", "landscape"], p=[0.65, 0.19, 0.16])
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


def _sample_figure(rng: np.random.Generator, looks: str, *, sized: bool) -> Figure:
    """Sample an object; its look is ``"none"``, ``"colored"``, or ``"any"``."""
    chosen = OBJECTS[rng.integers(len(OBJECTS))]
    look = {"none": "none", "colored": "color"}.get(looks)
    if look is None:
        look = str(rng.choice(list(LOOKS), p=list(LOOKS.values())))
    color = None
    if look == "color":
        color = _pick(rng, tuple(world.COLORS))
        while (color, chosen.word) in world.HELD_OUT_PAIRS or color == chosen.word:
            color = _pick(rng, tuple(world.COLORS))
    patterned = looks == "any" and look != "material" and rng.random() < 0.15
    return Figure(
        object=chosen,
        color=color,
        pattern=_pick(rng, world.PATTERNS) if patterned else None,
        material=_pick(rng, world.MATERIALS) if look == "material" else None,
        size=_pick(rng, tuple(world.SIZES)) if sized and rng.random() < 0.14 else None,
    )


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Compose a caption that is true of a scene: a full description, or a single word.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator
        Chooses among the possible wordings.

    Returns
    -------
    str
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
    words = list(scene.attributes)
    if scene.count > 1:
        words.append(next(word for word, n in world.COUNTS.items() if n == scene.count))
    if words and rng.random() < 0.7:
        return words[rng.integers(len(words))]
    return _noun(scene.figures[0].object, rng, plural=False)


def _noun(named: WorldObject, rng: np.random.Generator, *, plural: bool) -> str:
    ambiguous = named.cue != named.word
    if ambiguous:
        first = next(each for each in OBJECTS if each.word == named.word)
        bare = BARE_SENSE["common" if named is first else "rare"]
        if rng.random() < bare:
            if not plural:
                return named.word
            return named.bare_plural
    return named.plural if plural else named.cue


def _noun_phrase(figure: Figure, rng: np.random.Generator, *, plural: bool = False) -> str:
    color = figure.color
    if color in world.COLOR_OBJECTS and rng.random() >= BARE_COLOR:
        color = f"{color}-colored"
    words = [figure.size, color, _noun(figure.object, rng, plural=plural)]
    phrase = " ".join(word for word in words if word)
    if figure.material:
        phrase = f"{phrase} made of {figure.material}"
    if figure.pattern:
        phrase = f"{phrase} with a {figure.pattern} pattern"
    return phrase


def _with_article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
