"""What every chapter computes with its model, so that it can be forecast part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hrvlab.atlas import record_panel
from hrvlab.experiments.ablations.conditions import VOTING_RULES
from hrvlab.experiments.ablations.trial import plan_ablations
from hrvlab.experiments.disambiguation.cases import read_disambiguation
from hrvlab.experiments.disambiguation.trial import plan_disambiguation
from hrvlab.experiments.editing.cases import read_editing, some_of_each
from hrvlab.experiments.editing.trial import plan_comparison
from hrvlab.experiments.head_effects.trial import plan_head_effects
from hrvlab.experiments.neglect.cases import read_pairs
from hrvlab.experiments.neglect.trial import plan_excitations
from hrvlab.experiments.weakening.cases import read_weakening, weakening_prompts
from hrvlab.experiments.weakening.trial import plan_weakening
from hrvlab.generation import generate
from hrvlab.methods.attend_and_excite import excite
from hrvlab.methods.excitation import Excitation
from hrvlab.methods.steering import strengthen
from hrvlab.models.tokens import prompt_words
from hrvlab.publish.chapter_inputs import ChapterInputs
from hrvlab.scorers.pair_judge import pair_score

if TYPE_CHECKING:
    from hrvlab.publish.chapter_inputs import Work
    from hrvlab.typing import Images

COLLECTING = {"concepts", "prompts", "count"}  # parameters of chapters that collect votes
STEERED = 8  # rows of images in the chapter on steering
SHOWN = 12  # prompts of the chapter on the miniature


def _votes(chapter: ChapterInputs) -> Iterator[Work]:
    if not chapter.values.get("arrays"):
        yield from chapter.votes()


def _capture(chapter: ChapterInputs) -> Iterator[Work]:
    prompt, words = chapter.values["prompt"], chapter.values.get("words")
    said = prompt_words(chapter.pipe, prompt)
    every = list(dict.fromkeys(word.text for word in said if word.whole))
    yield chapter.capture(prompt, maps=words or every)


def _ask(chapter: ChapterInputs) -> Iterator[Work]:
    yield chapter.queries()


def _atlas(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes()
    values, pipe = chapter.values, chapter.pipe
    texts, featured = chapter.prompts, values["featured"]
    others = [text for text in texts if text not in featured]
    shown = [*featured, *others][: max(values["panel"], len(featured))]

    def attended(**call: Any) -> Images:
        few = shown[: call["batch_size"]]
        record_panel(pipe, few, **call)
        return np.zeros((len(few), 1, 1, 3), np.uint8)

    yield chapter.images("images, and what every head attends to in them", len(shown), attended)
    heads = min(values["turned_heads"], chapter.hrv.sizes["head_position"])
    turns = 1 + heads * len(values["factors"]) + 1 + len(values["turned"])

    def draw(**call: Any) -> Images:
        return generate(pipe, [shown[0]] * call["batch_size"], **call)

    yield chapter.images("images with heads turned down", turns, draw)


def _miniature(chapter: ChapterInputs) -> Iterator[Work]:
    def draw(**call: Any) -> Images:
        return generate(chapter.pipe, ["a cat"] * SHOWN, **{**call, "batch_size": SHOWN})

    yield chapter.images("images", SHOWN, draw)


def _steering(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes()
    values, hrv = chapter.values, chapter.hrv
    edit = strengthen(hrv, values["toward"], values["word"], strength=values["strength"])
    seeds = list(range(values["images"]))[: chapter.call["batch_size"]]

    def draw(**call: Any) -> Images:
        return generate(chapter.pipe, values["prompt"], edit=edit, seed=seeds, **call)

    yield chapter.images("images", STEERED * values["images"], draw)


def _words(chapter: ChapterInputs, concept: str) -> dict[str, Any]:
    """Return the prompts of a concept, and how they are tested."""
    values = chapter.values
    cases = read_weakening(values["cases"])
    prompts, texts = weakening_prompts(cases, concept, values["prompts_each"], split="test")
    return {"prompts": prompts, "texts": texts, "seeds": values["seeds"]}


def _weakening(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes()
    values, score = chapter.values, chapter.score()
    tested = {name: _words(chapter, name) for name in values["tested"]}
    orders = {name: values[name] for name in ("draws", "cuts", "factor")}

    def weakened(call: Mapping[str, Any]) -> Iterator[Any]:
        for name, words in tested.items():
            given = {**words, **orders, **call, "score": score}
            yield plan_weakening(chapter.pipe, chapter.hrv, name, **given)

    if tested:
        yield chapter.trials("heads weakened in order", weakened)
    steps = {"num_inference_steps": values["alone_steps"]}
    for name in values["alone"]:
        words = _words(chapter, name)

        def alone(call: Mapping[str, Any], words: dict[str, Any] = words) -> Iterator[Any]:
            given = {**words, **call, "factor": values["factor"], "score": score}
            yield plan_head_effects(chapter.pipe, **given)

        yield chapter.trials("every head weakened alone", alone, **steps)
        yield chapter.capture(words["prompts"], **steps)


def _ablations(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes(len(VOTING_RULES))
    values, score = chapter.values, chapter.score()
    tested = {name: _words(chapter, name) for name in values["tested"]}
    orders = {name: values[name] for name in ("draws", "cuts")}
    by_rule = dict.fromkeys(VOTING_RULES, chapter.hrv)

    def ablated(call: Mapping[str, Any]) -> Iterator[Any]:
        for name, words in tested.items():
            given = {**words, **orders, **call, "score": score, "by_rule": by_rule}
            for _, trial in plan_ablations(chapter.pipe, chapter.hrv, name, **given):
                yield trial

    yield chapter.trials("ablations", ablated)


def _disambiguation(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes()
    values, score = chapter.values, chapter.score()
    cases = read_disambiguation(values["cases"], "test").cases
    given = {name: values[name] for name in ("seeds", "gain", "loss")}

    def adjusted(call: Mapping[str, Any]) -> Iterator[Any]:
        every = {**given, **call, "score": score}
        yield plan_disambiguation(chapter.pipe, chapter.hrv, cases, **every)

    yield chapter.trials("ambiguous words", adjusted)
    yield chapter.capture(list(dict.fromkeys(case.prompt for case in cases)))


def _editing(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes()
    values, score = chapter.values, chapter.score()
    cases = some_of_each(read_editing(values["cases"], "test").cases, values["cases_each"])
    given = {name: values[name] for name in ("seeds", "strengths")}

    def edited(call: Mapping[str, Any]) -> Iterator[Any]:
        every = {**given, **call, "score": score}
        yield plan_comparison(chapter.pipe, chapter.hrv, cases, **every)

    yield chapter.trials("edits", edited)


def _neglect(chapter: ChapterInputs) -> Iterator[Work]:
    yield from chapter.votes()
    values, score = chapter.values, chapter.score(pair_score)
    listed = read_pairs(values["cases"])
    plain = {"side": values["plain_side"], "step_size": values["plain_step_size"]}
    settings = {
        "with_vectors": Excitation(side=values["side"], step_size=values["step_size"]),
        "without": Excitation(**plain, layers="side", leave_out_last=True),
    }

    def excited(call: Mapping[str, Any]) -> Iterator[Any]:
        for section in values["sections"]:
            pairs = listed.pairs(section, values["pairs"])
            given = {**settings, **call, "score": score, "seeds": values["seeds"]}
            yield plan_excitations(chapter.pipe, chapter.hrv, pairs, **given)

    yield chapter.trials("pairs of objects", excited)
    pair = listed.pairs(values["sections"][0], 1)[0]
    weighted: dict[str, Any] = {"hrv": chapter.hrv, "concept": pair.concepts}
    weighted["preset"] = settings["with_vectors"]
    drawn: list[Callable[..., Images]] = [
        lambda **call: generate(chapter.pipe, pair.prompt, **call),
        lambda **call: (
            excite(
                chapter.pipe, pair.prompt, pair.objects, preset=settings["without"], **call
            ).images
        ),
        lambda **call: excite(chapter.pipe, pair.prompt, pair.objects, **weighted, **call).images,
    ]
    yield from (chapter.images("an image of which the time is shown", 1, draw) for draw in drawn)


CHAPTERS: Mapping[str, Callable[[ChapterInputs], Iterator[Work]]] = {
    "capture": _capture,
    "atlas": _atlas,
    "ask": _ask,
    "relevance": _votes,
    "replication": _votes,
    "miniature": _miniature,
    "steering": _steering,
    "weakening": _weakening,
    "ablations": _ablations,
    "disambiguation": _disambiguation,
    "editing": _editing,
    "neglect": _neglect,
}


def work_of(name: str, values: Mapping[str, Any]) -> list[Work]:
    """List what a chapter computes with its model.

    Parameters
    ----------
    name : str
        Of the chapter; of one that is not hrvlab's, only votes or a capture are known, by the names
        of its parameters.
    values : mapping of str to object
        The value of every parameter.

    Returns
    -------
    list of Work

    Raises
    ------
    ParameterError, ConceptError, ModelError
        If the parameters cannot be used.
    """
    other = _votes if {*values} >= COLLECTING else _capture if "prompt" in values else None
    parts = CHAPTERS.get(name, other)
    return [] if parts is None else list(parts(ChapterInputs(values)))
