"""What a picture of the miniature's world can get right or wrong, and prompts that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hrvlab.miniature import world
from hrvlab.miniature.scenes import Scene
from hrvlab.miniature.world import THING_BY_NAME, THINGS


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
    prompt : callable
        Writes a prompt from a right answer and the name of a thing.
    """

    name: str
    answers: tuple[str, ...]
    truth: Callable[[Scene], str | None]
    prompt: Callable[[str, str], str]


def _count(scene: Scene) -> str | None:
    return next(word for word, number in world.COUNTS.items() if number == scene.count)


QUESTIONS = (
    Question(
        "object",
        tuple(THING_BY_NAME),
        lambda scene: scene.figures[0].thing.name if scene.count == 1 else None,
        lambda answer, thing: f"a {answer}",
    ),
    Question(
        "color",
        world.PLAIN_COLORS,
        lambda scene: scene.figures[0].color,
        lambda answer, thing: f"a {answer} {thing}",
    ),
    Question(
        "pattern",
        world.PATTERNS,
        lambda scene: scene.figures[0].pattern,
        lambda answer, thing: f"a {thing} with a {answer} pattern",
    ),
    Question(
        "material",
        world.MATERIALS,
        lambda scene: scene.figures[0].material,
        lambda answer, thing: f"a {thing} made of {answer}",
    ),
    Question(
        "style",
        world.STYLES,
        lambda scene: scene.style,
        lambda answer, thing: f"a {answer} style painting of a {thing}",
    ),
    Question(
        "weather",
        world.WEATHERS,
        lambda scene: scene.weather,
        lambda answer, thing: f"a {thing} on a {answer} day",
    ),
    Question(
        "scene",
        world.LANDSCAPES,
        lambda scene: scene.landscape,
        lambda answer, thing: f"a {thing} in the {answer}",
    ),
    Question(
        "count",
        ("two", "three", "four"),
        lambda scene: _count(scene) if scene.count > 1 else None,
        lambda answer, thing: f"{answer} {THING_BY_NAME[thing].plural}",
    ),
)


def ask_for(question: Question, images: int, seed: int) -> tuple[list[str], list[str]]:
    """Write prompts that go through the answers in turn, each with things of one sense.

    Parameters
    ----------
    question : Question
    images : int
        How many prompts, at least; every answer is asked for equally often.
    seed : int
        Chooses the things.

    Returns
    -------
    prompts, answers : list of str
    """
    rng = np.random.default_rng(seed)
    plain = [thing.name for thing in THINGS if thing.cue == thing.word]
    rounds = -(-images // len(question.answers))
    answers = list(question.answers) * rounds
    prompts = [question.prompt(answer, plain[rng.integers(len(plain))]) for answer in answers]
    return [_with_right_article(prompt) for prompt in prompts], answers


def _with_right_article(prompt: str) -> str:
    words = prompt.split()
    following = [*words[1:], ""]
    return " ".join(
        "an" if word == "a" and after[:1] in tuple("aeiou") else word
        for word, after in zip(words, following, strict=True)
    )
