"""Prompts of ordered weakening: a template for each concept, filled with its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from hrvlab.errors import ParameterError
from hrvlab.inputs.cases import Split, read_cases


class WeakeningTemplate(BaseModel):
    """The prompts of one concept: a template filled with every word and every noun.

    Parameters
    ----------
    template : str
        With the placeholders ``{word}``, and ``{noun}`` if there are nouns.
    words : list of str
        Words of the concept; the images of a prompt are scored against its word.
    dev : list of str
        Those of the words on which settings may be chosen; all others are for testing.
    nouns : list of str
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    template: str
    words: list[str]
    dev: list[str] = []
    nouns: list[str] = [""]


class WeakeningCases(BaseModel):
    """The prompts of all concepts.

    Parameters
    ----------
    source : str
        Where the prompts come from.
    seeds : dict of str to int
        The first seed of each split.
    concepts : dict of str to WeakeningTemplate
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    seeds: dict[Split, int] = {"test": 0, "dev": 100}
    concepts: dict[str, WeakeningTemplate]


def read_weakening(source: str | Path) -> WeakeningCases:
    """Read the prompts of ordered weakening.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, ``"published-unseen"`` (words that are not the concept's
        own), ``"published-tableware"``, or a YAML file.

    Returns
    -------
    WeakeningCases

    Raises
    ------
    ParameterError
        If there are no such cases, or the file does not have that form.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import read_weakening
    >>> read_weakening("miniature").concepts["Color"].template
    'a {word} {noun}'
    """
    return read_cases("weakening", WeakeningCases, source)


def weakening_prompts(
    cases: WeakeningCases,
    concept: str,
    count: int | None = None,
    *,
    split: Split | None = None,
) -> tuple[list[str], list[str]]:
    """Return the prompts of one concept: its template with all combinations filled in.

    Parameters
    ----------
    cases : WeakeningCases
    concept : str
    count : int, optional
        Number of prompts, evenly spread over all; default: all.
    split : {"dev", "test"}, optional
        Only prompts with words for choosing settings, or only those for testing; default: both.

    Returns
    -------
    prompts, texts : list of str
        Each prompt, and the word that its images are scored against.

    Raises
    ------
    ParameterError
        If there is no such concept, or it does not have that many prompts.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import read_weakening, weakening_prompts
    >>> prompts, texts = weakening_prompts(read_weakening("miniature"), "Color", 2, split="test")
    >>> prompts[0], texts[0]
    ('a red car', 'red')
    """
    if concept not in cases.concepts:
        raise ParameterError(
            f"there are no prompts for the concept {concept!r}; there are prompts for: "
            f"{', '.join(cases.concepts)}"
        )
    entry = cases.concepts[concept]
    pairs = [
        (entry.template.format(word=word, noun=noun), word)
        for noun in entry.nouns
        for word in entry.words
        if split is None or (word in entry.dev) == (split == "dev")
    ]
    if not pairs:
        raise ParameterError(f"{concept!r} has no prompts of the split {split!r}")
    if count is not None and not 0 < count <= len(pairs):
        raise ParameterError(f"{concept!r} has 1 to {len(pairs)} prompts, not {count}")
    chosen = np.linspace(0, len(pairs), count or len(pairs), endpoint=False).astype(int)
    prompts, texts = zip(*(pairs[index] for index in chosen), strict=True)
    return list(prompts), list(texts)


def choose_cases(
    source: str | Path, concept: str, prompts: int, seeds: int, *, split: Split
) -> dict[str, Any]:
    """Choose the prompts, texts and seeds of one concept.

    Parameters
    ----------
    source : str or Path
        See `read_weakening`.
    concept : str
    prompts, seeds : int
        Number of prompts, evenly spread over all, and of images of each.
    split : {"dev", "test"}

    Returns
    -------
    dict of str to object
        ``prompts``, ``texts`` and ``seeds``, keywords of `weaken` and of `head_effects`.

    Raises
    ------
    ParameterError
        If there is no such concept, or it does not have that many prompts.
    """
    cases = read_weakening(source)
    written, texts = weakening_prompts(cases, concept, prompts, split=split)
    first = cases.seeds[split]
    return {"prompts": written, "texts": texts, "seeds": range(first, first + seeds)}
