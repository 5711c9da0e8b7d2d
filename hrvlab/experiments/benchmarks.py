"""Lists of prompts that test a method, shipped or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hrvlab.errors import ParameterError
from hrvlab.paths import data_path

# Methods are tuned on cases of the one, and shown on those of the other.
Split = Literal["dev", "test"]


class Weakening(BaseModel):
    """The prompts of one concept: a template filled with every word and every noun.

    Parameters
    ----------
    template : str
        With ``{word}``, and ``{noun}`` if there are nouns.
    words : list of str
        Words of the concept; a prompt's pictures are scored against its word.
    nouns : list of str
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    template: str
    words: list[str]
    nouns: list[str] = [""]


class WeakeningBenchmark(BaseModel):
    """All concepts of a benchmark.

    Parameters
    ----------
    source : str
    concepts : dict of str to Weakening
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    concepts: dict[str, Weakening]


class Case(BaseModel):
    """A word with two senses in a prompt.

    Parameters
    ----------
    prompt, word : str
    wanted, unwanted : str
        The senses, as scores know them.
    toward, away : str
        The concepts that the word is adjusted toward and away from.
    reworded : str
        A prompt that says the wanted sense plainly.
    split : {"dev", "test"}
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str
    word: str
    wanted: str
    unwanted: str
    toward: str
    away: str
    reworded: str
    split: Split = "test"


class PolysemyBenchmark(BaseModel):
    """All cases of a benchmark.

    Parameters
    ----------
    source : str
    cases : list of Case
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    cases: list[Case]


class Replacement(BaseModel):
    """A prompt in which words are replaced.

    Parameters
    ----------
    source, target : str
        The two prompts.
    noun : str
        The source's word for the thing that should stay.
    thing, wanted : str
        That thing, and what the new words ask for, as scores know them.
    concept : str
        Of the new words.
    split : {"dev", "test"}
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    target: str
    noun: str
    thing: str
    wanted: str
    concept: str
    split: Split = "test"


class EditingBenchmark(BaseModel):
    """All replacements of a benchmark.

    Parameters
    ----------
    source : str
    cases : list of Replacement
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    cases: list[Replacement]


Benchmark = TypeVar("Benchmark", bound=BaseModel)
Cases = TypeVar("Cases", PolysemyBenchmark, EditingBenchmark)


def read_weakening(source: str | Path) -> WeakeningBenchmark:
    """Read the prompts of ordered weakening.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there is no such benchmark, or it is not of that form.
    """
    return _read("weakening", WeakeningBenchmark, source)


def read_polysemy(source: str | Path, split: Split | None = None) -> PolysemyBenchmark:
    """Read cases of words with two senses.

    Parameters
    ----------
    source : str or Path
        ``"miniature"`` or a YAML file.
    split : {"dev", "test"}, optional
        Default: all cases.

    Raises
    ------
    ParameterError
        If there is no such benchmark, it is not of that form, or the split is empty.
    """
    return _of_split(_read("polysemy", PolysemyBenchmark, source), split)


def read_editing(source: str | Path, split: Split | None = None) -> EditingBenchmark:
    """Read pairs of prompts of which the second replaces words of the first.

    Parameters
    ----------
    source : str or Path
        ``"miniature"`` or a YAML file.
    split : {"dev", "test"}, optional
        Default: all cases.

    Raises
    ------
    ParameterError
        If there is no such benchmark, it is not of that form, or the split is empty.
    """
    return _of_split(_read("editing", EditingBenchmark, source), split)


def _of_split(benchmark: Cases, split: Split | None) -> Cases:
    if split is None:
        return benchmark
    cases = [case for case in benchmark.cases if case.split == split]
    if not cases:
        raise ParameterError(f"the benchmark has no case of the split {split!r}")
    return benchmark.model_copy(update={"cases": cases})


def _read(kind: str, form: type[Benchmark], source: str | Path) -> Benchmark:
    folder = data_path("benchmarks")
    shipped = {path.stem.removeprefix(f"{kind}-"): path for path in folder.glob(f"{kind}-*.yaml")}
    path = shipped.get(str(source), Path(source))
    if not path.is_file():
        raise ParameterError(
            f"there is no benchmark {str(source)!r}; give a YAML file or one of: "
            f"{', '.join(sorted(shipped))}"
        )
    try:
        return form.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"{path} is not a {kind} benchmark: {reason}") from error


def some_of_each(cases: Sequence[Replacement], count: int) -> list[Replacement]:
    """Take the first few replacements of every concept."""
    concepts = dict.fromkeys(case.concept for case in cases)
    by_concept = [[case for case in cases if case.concept == concept] for concept in concepts]
    return [case for several in by_concept for case in several[:count]]


def weakening_prompts(
    benchmark: WeakeningBenchmark, concept: str, count: int | None = None
) -> tuple[list[str], list[str]]:
    """Write the prompts of one concept.

    Parameters
    ----------
    benchmark : WeakeningBenchmark
    concept : str
    count : int, optional
        Take that many, evenly spread over all; default: all.

    Returns
    -------
    prompts, texts : list of str
        Each prompt, and the word that its pictures are scored against.

    Raises
    ------
    ParameterError
        If the benchmark has no such concept, or not so many prompts.
    """
    if concept not in benchmark.concepts:
        raise ParameterError(
            f"the benchmark has no concept {concept!r}; it has: {', '.join(benchmark.concepts)}"
        )
    entry = benchmark.concepts[concept]
    pairs = [
        (entry.template.format(word=word, noun=noun), word)
        for noun in entry.nouns
        for word in entry.words
    ]
    if count is not None and not 0 < count <= len(pairs):
        raise ParameterError(f"{concept!r} has 1 to {len(pairs)} prompts, not {count}")
    chosen = np.linspace(0, len(pairs), count or len(pairs), endpoint=False).astype(int)
    prompts, texts = zip(*(pairs[index] for index in chosen), strict=True)
    return list(prompts), list(texts)
