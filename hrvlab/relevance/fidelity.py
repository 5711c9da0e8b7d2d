"""Are these the vectors of the same model? Yours against the published ones, concept by concept.

How well should two vectors agree that were built from other prompts? Your own votes say it. Count
them twice, from one half of the prompts and from the other; the two halves correlate with some r.
After Spearman and Brown, k times as many prompts have the reliability kr / (1 + (k − 1)r), and two
vectors of one model, built from different prompts, correlate by the root of the product of their
reliabilities. That is the *expected* correlation.

What is found lies above or below it by chance, and how far, your own votes say too: they are
verified against one another. The prompts are parted at random, one part plays yours and the other
the published, and the gap between found and expected is taken, many times over, on Fisher's scale
(the inverse hyperbolic tangent), on which it has about one size whatever the correlation. A concept
*differs* if its gap is further below zero than the right model's would be, in any concept at all,
in one of a hundred verifications.

Where even unrelated vectors could reach the lowest correlation that still agrees, the concept stays
*open*: it rests on too few votes to tell.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.relevance.vectors import normalise, relevance

PUBLISHED_PROMPTS = 2100
# The part of all verifications of the right model that may fail by chance.
LEVEL = 0.01
LEAST_PROMPTS = 8
AGREES, DIFFERS, OPEN = "agrees", "differs", "open"


def correlations(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each row with its counterpart.

    Parameters
    ----------
    rows, others : ndarray of float, shape (concept, head_position)

    Returns
    -------
    ndarray of float64, shape (concept,)
        0 where a row does not vary, or is NaN for want of votes.
    """
    one, other = (
        array - array.mean(-1, keepdims=True) for array in map(np.nan_to_num, (rows, others))
    )
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.divide((one * other).sum(-1), norms, out=np.zeros(len(one)), where=norms > 0)


def spearman_brown(reliability: NDArray[np.floating], factor: float) -> NDArray[np.float64]:
    """Give the reliability of a measurement made longer by a factor.

    Parameters
    ----------
    reliability : ndarray of float
        Correlation of two measurements of the present length; what is negative counts as 0.
    factor : float
    """
    positive = np.clip(reliability, 0, 1)
    return factor * positive / (1 + (factor - 1) * positive)


def expected_correlation(
    halves: NDArray[np.floating], prompts: int, published_prompts: int = PUBLISHED_PROMPTS
) -> NDArray[np.float64]:
    """Give the correlation of two vectors of the same model, built from different prompts.

    Parameters
    ----------
    halves : ndarray of float
        Correlation of the vectors from one half of the prompts with those from the other.
    prompts, published_prompts : int
        On how many prompts each of the two vectors rests.
    """
    yours = spearman_brown(halves, 2)
    theirs = spearman_brown(halves, 2 * published_prompts / prompts)
    return np.sqrt(yours * theirs)


def check_count(prompts: int) -> None:
    """Refuse a number of prompts that cannot be parted into halves of parts.

    Raises
    ------
    ParameterError
    """
    if prompts < LEAST_PROMPTS:
        raise ParameterError(f"{prompts} prompts are too few to part; give {LEAST_PROMPTS} or more")


def compare(
    votes: xr.Dataset,
    published: xr.DataArray,
    *,
    published_prompts: int = PUBLISHED_PROMPTS,
    splits: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Correlate vectors with the published ones, and say what the same model would give.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`; its even and its odd prompts are the halves.
    published : xarray.DataArray, dims (concept, head_position)
        From `hrvlab.relevance.published.read_published`.
    published_prompts : int
        On how many prompts they rest.
    splits : int
        How often the votes are verified against one another.
    seed : int
        Of these splits.

    Returns
    -------
    xarray.Dataset
        Dim ``concept``: ``votes``; ``halves``, the correlation between them; ``expected``;
        ``lowest``, which still agrees; ``found``; ``outcome``, ``"agrees"``, ``"differs"`` or
        ``"open"``.

    Raises
    ------
    ConceptError
        If a concept got no vote at all.
    ParameterError
        If there are too few prompts to part.
    """
    yours = relevance(votes)
    counts = votes["votes_by_prompt"].transpose("prompt", "head_position", "concept").values
    prompts, heads, concepts = counts.shape
    check_count(prompts)
    theirs = published.sel(concept=yours["concept"]).transpose("concept", "head_position").values
    halves, expected, found = _measure(counts, theirs, published_prompts)
    by_chance = _gaps_by_chance(counts, splits, seed)
    spread = np.maximum(by_chance.std(axis=0), np.median(by_chance.std(axis=0)))
    furthest = NormalDist().inv_cdf(1 - LEVEL / concepts)
    lowest = np.tanh(_fisher(expected) - furthest * spread)
    unrelated = np.tanh(furthest / np.sqrt(heads - 3))
    outcome = np.where(found < lowest, DIFFERS, AGREES)
    return xr.Dataset(
        {
            "votes": yours["votes"].reset_coords(drop=True),
            "halves": ("concept", halves),
            "expected": ("concept", expected),
            "lowest": ("concept", lowest),
            "found": ("concept", found),
            "outcome": ("concept", np.where(lowest <= unrelated, OPEN, outcome)),
        }
    )


def _measure(
    counts: NDArray[np.integer], theirs: NDArray[np.floating], published_prompts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Correlate halves of the votes, what that lets expect, and the votes with other vectors."""
    even, odd = counts[::2].sum(0), counts[1::2].sum(0)
    halves = correlations(normalise(even), normalise(odd))
    expected = expected_correlation(halves, len(counts), published_prompts)
    return halves, expected, correlations(normalise(even + odd), theirs)


def _gaps_by_chance(counts: NDArray[np.integer], splits: int, seed: int) -> NDArray[np.float64]:
    """Verify one part of the votes by the other (split, concept); both keep even and odd apart."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    pairs = np.arange(len(counts) // 2 * 2).reshape(-1, 2)
    part = len(pairs) // 2
    gaps = []
    for _ in range(splits):
        shuffled = rng.permuted(pairs, axis=0)
        yours, others = counts[shuffled[:part].ravel()], counts[shuffled[part:].ravel()]
        _, expected, found = _measure(yours, normalise(others.sum(0)), len(others))
        gaps.append(_fisher(found) - _fisher(expected))
    return np.array(gaps)


def _fisher(correlation: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.arctanh(np.clip(correlation, -1 + 1e-9, 1 - 1e-9))
