"""Whether votes come from the model of the published vectors, and if not, what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.relevance.fidelity import DIFFERS, OPEN, PUBLISHED_PROMPTS, compare
from hrvlab.relevance.published import normalisation_fault
from hrvlab.relevance.similarity import cosines
from hrvlab.relevance.vectors import relevance


@dataclass(frozen=True)
class Verdict:
    """What a comparison with the published vectors came to.

    Parameters
    ----------
    kind : str
        ``"same"``, ``"open"``, ``"normalisation"``, ``"head order"``, ``"some concepts"`` or
        ``"another model"``.
    message : str
        What it looks like, and by which numbers.
    concepts : xarray.Dataset
        From `hrvlab.relevance.fidelity.compare`.
    """

    kind: str
    message: str
    concepts: xr.Dataset

    @property
    def passed(self) -> bool:
        """Only the same model passes."""
        return self.kind == "same"


def profile_similarity(
    yours: NDArray[np.floating], theirs: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Say how alike every two heads are in their relevance to all concepts.

    Parameters
    ----------
    yours, theirs : ndarray of float, shape (concept, head_position)

    Returns
    -------
    ndarray of float64, shape (head_position, head_position)
        Cosines of profiles in which every concept counts the same; yours by theirs.
    """
    profiles = [
        (array - array.mean(1, keepdims=True)) / array.std(1, keepdims=True)
        for array in (yours, theirs)
    ]
    return cosines(profiles[0].T, profiles[1].T)


def give_verdict(
    votes: xr.Dataset, published: xr.DataArray, *, published_prompts: int = PUBLISHED_PROMPTS
) -> Verdict:
    """Say whether votes come from the model of the published vectors; if not, what it looks like.

    Parameters
    ----------
    votes, published, published_prompts
        See `hrvlab.relevance.fidelity.compare`.

    Raises
    ------
    ConceptError, ParameterError
        See `hrvlab.relevance.fidelity.compare`.
    """
    concepts = compare(votes, published, published_prompts=published_prompts)
    if fault := normalisation_fault(published.values):
        return Verdict("normalisation", f"the published vectors' {fault}", concepts)
    outcome = concepts["outcome"]
    told = int((outcome != OPEN).sum())
    differ = int((outcome == DIFFERS).sum())
    if told < len(outcome) / 2:
        return Verdict(
            "open",
            f"only {told} of {len(outcome)} concepts have votes enough to tell; use more prompts",
            concepts,
        )
    numbers = (
        f"correlations with the published vectors have a median of "
        f"{float(concepts['found'].median()):.3f}, the same model lets expect "
        f"{float(concepts['expected'].median()):.3f}"
    )
    if not differ:
        return Verdict("same", f"all {told} concepts that can be told agree; {numbers}", concepts)
    if moved := _moved_heads(votes, published, published_prompts):
        return Verdict("head order", f"{moved}; {numbers}", concepts)
    if differ < told / 2:
        names = ", ".join(map(str, concepts["concept"].values[(outcome == DIFFERS).values]))
        return Verdict(
            "some concepts",
            f"{differ} of {told} concepts differ ({names}), the others agree: it looks like other "
            f"words, another kind of prompts, or a near relative of the model; {numbers}",
            concepts,
        )
    return Verdict(
        "another model",
        f"{differ} of {told} concepts differ, and no other order of heads would help: it looks "
        f"like another model, or other settings than the published; {numbers}",
        concepts,
    )


def _moved_heads(votes: xr.Dataset, published: xr.DataArray, published_prompts: int) -> str:
    """Tell which heads stand elsewhere, if that alone explains all differences; else nothing."""
    yours = relevance(votes)
    theirs = published.sel(concept=yours["concept"]).transpose("concept", "head_position")
    alike = profile_similarity(yours.values, theirs.values)
    match = alike.argmax(1)
    matched = theirs.copy(data=theirs.values[:, match])
    again = compare(votes, matched, published_prompts=published_prompts)["outcome"]
    if (again == DIFFERS).any():
        return ""
    moved = match != np.arange(len(match))
    least = np.where(moved, alike.diagonal(), np.inf).argmin()
    labels = votes["label"].values
    return (
        f"in another order of heads every concept agrees: {moved.sum()} of {len(match)} head "
        f"positions look permuted, such as '{labels[least]}', which is published as "
        f"'{labels[match[least]]}'"
    )
