"""Whether votes come from the model of the published vectors, and if not, why they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.relevance.similarity import cosines
from hrvlab.relevance.vectors import relevance
from hrvlab.replication.arrays import normalization_fault
from hrvlab.replication.fidelity import DIFFERS, OPEN, PUBLISHED_PROMPTS, align, compare


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison with the published vectors.

    Parameters
    ----------
    kind : str
        ``"same"``, ``"open"``, ``"normalization"``, ``"head order"``, ``"some concepts"`` or
        ``"another model"``.
    message : str
        The likely cause, and the numbers behind it.
    concepts : xarray.Dataset
        From `hrvlab.replication.fidelity.compare`.
    """

    kind: str
    message: str
    concepts: xr.Dataset

    @property
    def passed(self) -> bool:
        """Whether the votes come from the same model."""
        return self.kind == "same"


def profile_similarity(
    yours: NDArray[np.floating], theirs: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute how similar every two heads are in their relevance to all concepts.

    Parameters
    ----------
    yours, theirs : ndarray of float, shape (concept, head_position)

    Returns
    -------
    ndarray of float64, shape (head_position, head_position)
        Cosines between your heads (rows) and theirs (columns); relevance is standardized within
        each concept, so that all concepts count the same.
    """
    profiles = [
        (array - array.mean(1, keepdims=True)) / array.std(1, keepdims=True)
        for array in (yours, theirs)
    ]
    return cosines(profiles[0].T, profiles[1].T)


def diagnose(
    votes: xr.Dataset, published: xr.DataArray, *, published_prompts: int = PUBLISHED_PROMPTS
) -> Verdict:
    """Decide whether votes come from the model of the published vectors; if not, find out why.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`.
    published : xarray.DataArray, dims (concept, head_position)
        From `hrvlab.replication.arrays.read_published`.
    published_prompts : int
        Number of prompts that the published vectors are built from.

    Returns
    -------
    Verdict

    Raises
    ------
    ConceptError
        If a concept received no vote at all.
    ParameterError
        If there are too few prompts to split.
    """
    concepts = compare(votes, published, published_prompts=published_prompts)
    if fault := normalization_fault(published.values):
        return Verdict("normalization", f"the published vectors' {fault}", concepts)
    outcome = concepts["outcome"]
    decided = int((outcome != OPEN).sum())
    differ = int((outcome == DIFFERS).sum())
    if decided < len(outcome) / 2:
        return Verdict(
            "open",
            f"only {decided} of {len(outcome)} concepts received enough votes to decide; use more "
            "prompts",
            concepts,
        )
    numbers = (
        f"the median correlation with the published vectors is "
        f"{float(concepts['found'].median()):.3f}, and {float(concepts['expected'].median()):.3f} "
        "is expected of the same model"
    )
    if not differ:
        return Verdict(
            "same", f"all {decided} concepts that can be decided agree; {numbers}", concepts
        )
    if order := _permuted_heads(votes, published, published_prompts):
        return Verdict("head order", f"{order}; {numbers}", concepts)
    if differ < decided / 2:
        names = ", ".join(map(str, concepts["concept"].values[(outcome == DIFFERS).values]))
        return Verdict(
            "some concepts",
            f"{differ} of {decided} concepts differ ({names}), the others agree: the likely cause "
            f"is other words, another kind of prompts, or a close relative of the model; {numbers}",
            concepts,
        )
    return Verdict(
        "another model",
        f"{differ} of {decided} concepts differ, and no other order of heads would help: the "
        f"likely cause is another model, or other settings than the published ones; {numbers}",
        concepts,
    )


def _permuted_heads(votes: xr.Dataset, published: xr.DataArray, published_prompts: int) -> str:
    """Describe a permutation of heads that explains all differences; empty if there is none."""
    yours = relevance(votes)
    theirs = align(published, yours)
    similarity = profile_similarity(yours.values, theirs.values)
    match = similarity.argmax(1)
    matched = theirs.copy(data=theirs.values[:, match])
    again = compare(votes, matched, published_prompts=published_prompts)["outcome"]
    if (again == DIFFERS).any():
        return ""
    permuted = match != np.arange(len(match))
    clearest = np.where(permuted, similarity.diagonal(), np.inf).argmin()
    labels = votes["label"].values
    return (
        f"in another order of heads every concept agrees: {permuted.sum()} of {len(match)} head "
        f"positions look permuted, such as '{labels[clearest]}', which is published as "
        f"'{labels[match[clearest]]}'"
    )
