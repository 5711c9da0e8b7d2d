"""What a picture of the miniature's world can get right or wrong, and prompts that ask for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from hrvlab.miniature import world
from hrvlab.miniature.scenes import Scene
from hrvlab.miniature.world import THING_BY_NAME
from hrvlab.paths import data_path

TWO_THINGS = "two things"


@dataclass(frozen=True)
class Question:
    """One thing a picture can get right or wrong.

    Parameters
    ----------
    name : str
    answers : tuple of str
        What may be seen, as texts.
    truth : callable
        Gives a scene's right answer; None where the question does not apply.
    """

    name: str
    answers: tuple[str, ...]
    truth: Callable[[Scene], str | None]


def in_one_name(things: list[str]) -> str:
    """Name several things together, whatever their order."""
    return " and ".join(sorted(things))


def _of_one_kind(truth: Callable[[Scene], str | None]) -> Callable[[Scene], str | None]:
    """Ask only about scenes of one kind of thing."""
    return lambda scene: truth(scene) if len(scene.figures) == 1 else None


def _thing(scene: Scene) -> str | None:
    return scene.figures[0].thing.name if scene.count == 1 else None


def _count(scene: Scene) -> str | None:
    words = list(world.COUNTS)
    return words[scene.count - 1] if scene.count > 1 else None


def _two_things(scene: Scene) -> str | None:
    things = [figure.thing.name for figure in scene.figures]
    return in_one_name(things) if len(things) == 2 else None


QUESTIONS = (
    Question("object", tuple(THING_BY_NAME), _of_one_kind(_thing)),
    Question("color", world.PLAIN_COLORS, _of_one_kind(lambda scene: scene.figures[0].color)),
    Question("pattern", world.PATTERNS, _of_one_kind(lambda scene: scene.figures[0].pattern)),
    Question("material", world.MATERIALS, _of_one_kind(lambda scene: scene.figures[0].material)),
    Question("style", world.STYLES, _of_one_kind(lambda scene: scene.style)),
    Question("weather", world.WEATHERS, _of_one_kind(lambda scene: scene.weather)),
    Question("scene", world.LANDSCAPES, _of_one_kind(lambda scene: scene.landscape)),
    Question("count", ("two", "three", "four"), _of_one_kind(_count)),
    Question(
        TWO_THINGS,
        tuple(in_one_name(list(pair)) for pair in itertools.combinations(THING_BY_NAME, 2)),
        _two_things,
    ),
)


class Asking(BaseModel):
    """Prompts that ask for known answers to one question.

    Parameters
    ----------
    question : str
        Name of one of `QUESTIONS`.
    template : str
        With ``{word}``, and ``{noun}`` if there are nouns.
    words : list of str
    nouns : list of str
    answers : list of str, optional
        The right answer for each word; default: the word itself.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    question: str
    template: str
    words: list[str]
    nouns: list[str] = [""]
    answers: list[str] | None = None

    def ask(self, pictures: int) -> tuple[list[str], list[str]]:
        """Write so many prompts, all in turn as often as it takes, the rest evenly spread.

        Returns
        -------
        prompts, answers : list of str
        """
        answers = self.answers or self.words
        pairs = [
            (_with_right_article(self.template.format(word=word, noun=noun)), answer)
            for noun in self.nouns
            for word, answer in zip(self.words, answers, strict=True)
        ]
        rounds, rest = divmod(pictures, len(pairs))
        spread = np.linspace(0, len(pairs), rest, endpoint=False).astype(int)
        chosen = pairs * rounds + [pairs[index] for index in spread]
        prompts, wanted = zip(*chosen, strict=True)
        return list(prompts), list(wanted)


def read_asked() -> dict[str, Asking]:
    """Read what the miniature draws when its quality is measured.

    Returns
    -------
    dict of str to Asking
        Under names that say what is measured.
    """
    content = yaml.safe_load(data_path("benchmarks", "quality-miniature.yaml").read_text())
    return TypeAdapter(dict[str, Asking]).validate_python(content)


def _with_right_article(prompt: str) -> str:
    words = prompt.split()
    following = [*words[1:], ""]
    return " ".join(
        "an" if word == "a" and after[:1] in tuple("aeiou") else word
        for word, after in zip(words, following, strict=True)
    )
