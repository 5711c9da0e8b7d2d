"""Lists of prompts that test a method, shipped or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ValidationError

from hrvlab.errors import ParameterError
from hrvlab.experiments.forms import (
    EditingBenchmark,
    PolysemyBenchmark,
    Replacement,
    Split,
    WeakeningBenchmark,
)
from hrvlab.paths import data_path

Benchmark = TypeVar("Benchmark", bound=BaseModel)
Cases = TypeVar("Cases", PolysemyBenchmark, EditingBenchmark)


def read_weakening(source: str | Path) -> WeakeningBenchmark:
    """Read the prompts of ordered weakening.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, ``"published-unseen"`` (words that are not the concept's
        own), ``"published-tableware"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there is no such benchmark, or it is not of that form.
    """
    return read_form("weakening", WeakeningBenchmark, source)


def read_polysemy(source: str | Path, split: Split | None = None) -> PolysemyBenchmark:
    """Read cases of words with two senses.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.
    split : {"dev", "test"}, optional
        Default: all cases.

    Raises
    ------
    ParameterError
        If there is no such benchmark, it is not of that form, or the split is empty.
    """
    return _of_split(read_form("polysemy", PolysemyBenchmark, source), split)


def read_editing(source: str | Path, split: Split | None = None) -> EditingBenchmark:
    """Read pairs of prompts of which the second replaces words of the first.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.
    split : {"dev", "test"}, optional
        Default: all cases.

    Raises
    ------
    ParameterError
        If there is no such benchmark, it is not of that form, or the split is empty.
    """
    return _of_split(read_form("editing", EditingBenchmark, source), split)


def _of_split(benchmark: Cases, split: Split | None) -> Cases:
    if split is None:
        return benchmark
    cases = [case for case in benchmark.cases if case.split == split]
    if not cases:
        raise ParameterError(f"the benchmark has no case of the split {split!r}")
    return benchmark.model_copy(update={"cases": cases})


def read_form(kind: str, form: type[Benchmark], source: str | Path) -> Benchmark:
    """Read a benchmark of a kind: a shipped one by its name, or a YAML file.

    Raises
    ------
    ParameterError
        If there is none, or it is not of the form.
    """
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
    benchmark: WeakeningBenchmark,
    concept: str,
    count: int | None = None,
    *,
    split: Split | None = None,
) -> tuple[list[str], list[str]]:
    """Write the prompts of one concept.

    Parameters
    ----------
    benchmark : WeakeningBenchmark
    concept : str
    count : int, optional
        Take that many, evenly spread over all; default: all.
    split : {'dev', 'test'}, optional
        Only prompts with words for choosing settings, or only those for testing; default: all.

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
        if split is None or (word in entry.dev) == (split == "dev")
    ]
    if not pairs:
        raise ParameterError(f"{concept!r} has no prompts for {split}")
    if count is not None and not 0 < count <= len(pairs):
        raise ParameterError(f"{concept!r} has 1 to {len(pairs)} prompts, not {count}")
    chosen = np.linspace(0, len(pairs), count or len(pairs), endpoint=False).astype(int)
    prompts, texts = zip(*(pairs[index] for index in chosen), strict=True)
    return list(prompts), list(texts)
