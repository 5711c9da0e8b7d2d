"""The questions of the quality report, and the prompts whose correct answers are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from hrvlab.miniature import world
from hrvlab.miniature.world import OBJECT_BY_NAME
from hrvlab.paths import data_path

if TYPE_CHECKING:
    from hrvlab.miniature.scenes import Scene

TWO_OBJECTS = "two objects"


@dataclass(frozen=True)
class Question:
    """A question about an image, with a closed set of answers.

    Parameters
    ----------
    name : str
    answers : tuple of str
        The possible answers.
    truth : callable (scene) -> str or None
        Looks up a scene's correct answer; None where the question does not apply.
    """

    name: str
    answers: tuple[str, ...]
    truth: Callable[[Scene], str | None]


def join_names(names: Sequence[str]) -> str:
    """Join the names of several objects into one answer that does not depend on their order."""
    return " and ".join(sorted(names))


def _single(truth: Callable[[Scene], str | None]) -> Callable[[Scene], str | None]:
    """Restrict a question to scenes with one kind of object."""
    return lambda scene: truth(scene) if len(scene.figures) == 1 else None


def _object(scene: Scene) -> str | None:
    return scene.figures[0].object.name if scene.count == 1 else None


def _count(scene: Scene) -> str | None:
    words = list(world.COUNTS)
    return words[scene.count - 1] if scene.count > 1 else None


def _two_objects(scene: Scene) -> str | None:
    names = [figure.object.name for figure in scene.figures]
    return join_names(names) if len(names) == 2 else None


QUESTIONS = (
    Question("object", tuple(OBJECT_BY_NAME), _single(_object)),
    Question("color", world.PLAIN_COLORS, _single(lambda scene: scene.figures[0].color)),
    Question("pattern", world.PATTERNS, _single(lambda scene: scene.figures[0].pattern)),
    Question("material", world.MATERIALS, _single(lambda scene: scene.figures[0].material)),
    Question("style", world.STYLES, _single(lambda scene: scene.style)),
    Question("weather", world.WEATHERS, _single(lambda scene: scene.weather)),
    Question("scene", world.LANDSCAPES, _single(lambda scene: scene.landscape)),
    Question("count", ("two", "three", "four"), _single(_count)),
    Question(
        TWO_OBJECTS,
        tuple(join_names(pair) for pair in itertools.combinations(OBJECT_BY_NAME, 2)),
        _two_objects,
    ),
)


class PromptSet(BaseModel):
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
        The correct answer for each word; by default the word itself.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    question: str
    template: str
    words: list[str]
    nouns: list[str] = [""]
    answers: list[str] | None = None

    def prompts(self, count: int) -> tuple[list[str], list[str]]:
        """Compose prompts, each as often as the others or once more often.

        Parameters
        ----------
        count : int

        Returns
        -------
        prompts, answers : list of str
            Of length ``count``.
        """
        answers = self.answers or self.words
        pairs = [
            (_with_right_article(self.template.format(word=word, noun=noun)), answer)
            for noun in self.nouns
            for word, answer in zip(self.words, answers, strict=True)
        ]
        rounds, rest = divmod(count, len(pairs))
        spread = np.linspace(0, len(pairs), rest, endpoint=False).astype(int)
        chosen = pairs * rounds + [pairs[index] for index in spread]
        prompts, wanted = zip(*chosen, strict=True)
        return list(prompts), list(wanted)


def read_quality_prompts() -> dict[str, PromptSet]:
    """Read the prompt sets of the quality report.

    Returns
    -------
    dict of str to PromptSet
        By their name in the report.
    """
    content = yaml.safe_load(data_path("cases", "quality-miniature.yaml").read_text())
    return TypeAdapter(dict[str, PromptSet]).validate_python(content)


def _with_right_article(prompt: str) -> str:
    words = prompt.split()
    following = [*words[1:], ""]
    return " ".join(
        "an" if word == "a" and after[:1] in tuple("aeiou") else word
        for word, after in zip(words, following, strict=True)
    )
