"""Whether vectors come from the model of the published ones, concept by concept.

Two vectors of one model that were built from different prompts do not agree exactly. How well they
should agree follows from one's own votes. Vectors from the even and from the odd prompts correlate
with some r. By the formula of Spearman and Brown, k times as many prompts have the reliability
kr / (1 + (k − 1)r), and two vectors of one model correlate with the square root of the product of
their reliabilities. This is the *expected* correlation.

The correlation that is *found* differs from it by chance. How far is estimated by verifying one's
own votes against one another: the prompts are split at random, many times, one part plays the role
of one's own votes and the other that of the published ones, and the gap between found and expected
is computed. It is taken on Fisher's scale (the inverse hyperbolic tangent), where its size hardly
depends on the correlation. A concept *differs* if its gap lies so far below zero that, with the
right model, only one verification in a hundred would contain any such concept.

If even unrelated vectors could reach the lowest correlation that still agrees, the concept stays
*open*: it received too few votes to decide.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.relevance.counts import counts_by_prompt
from hrvlab.relevance.vectors import normalize, relevance
from hrvlab.statistics import correlation, spearman_brown

PUBLISHED_PROMPTS = 2100
# The share of verifications of the right model that may fail by chance.
ERROR_RATE = 0.01
MIN_PROMPTS = 8
AGREES, DIFFERS, OPEN = "agrees", "differs", "open"


def expected_correlation(
    split_half: NDArray[np.floating], prompts: int, published_prompts: int = PUBLISHED_PROMPTS
) -> NDArray[np.float64]:
    """Compute the expected correlation of two vectors of one model from different prompts.

    Parameters
    ----------
    split_half : ndarray of float, shape (concept,)
        Correlation of the vectors from the two halves of the prompts.
    prompts, published_prompts : int
        Numbers of prompts that the two vectors are built from.

    Returns
    -------
    ndarray of float64, shape (concept,)
    """
    yours = spearman_brown(split_half, 2)
    theirs = spearman_brown(split_half, 2 * published_prompts / prompts)
    return np.sqrt(yours * theirs)


def check_count(prompts: int) -> None:
    """Raise an error if there are too few prompts to verify one part of them by the other.

    Raises
    ------
    ParameterError
    """
    if prompts < MIN_PROMPTS:
        raise ParameterError(f"{prompts} prompts are too few to split; give {MIN_PROMPTS} or more")


def compare(
    votes: xr.Dataset,
    published: xr.DataArray,
    *,
    published_prompts: int = PUBLISHED_PROMPTS,
    splits: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Correlate vectors with the published ones, and compute what the same model would reach.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`; the halves are its even and its odd prompts.
    published : xarray.DataArray, dims (concept, head_position)
        From `hrvlab.replication.arrays.read_published`.
    published_prompts : int
        Number of prompts that the published vectors are built from.
    splits : int
        How often the votes are verified against one another.
    seed : int
        Of these splits.

    Returns
    -------
    xarray.Dataset
        Dim ``concept``: ``votes``, their number; ``split_half``, the correlation of the vectors
        from the two halves; ``expected``, the correlation that the same model would reach with the
        published vectors; ``lowest``, the lowest that still agrees; ``found``, the correlation
        itself; ``outcome``, one of ``"agrees"``, ``"differs"`` and ``"open"``. A correlation with
        a vector that does not vary counts as 0.

    Raises
    ------
    ConceptError
        If a concept received no vote at all.
    ParameterError
        If there are too few prompts to split, or denoiser calls were selected.
    """
    yours = relevance(votes)
    counts = counts_by_prompt(votes).values
    prompts, heads, concepts = counts.shape
    check_count(prompts)
    theirs = align(published, yours).values
    split_half, expected, found = _correlations(counts, theirs, published_prompts)
    by_chance = _gaps_by_chance(counts, splits, seed)
    spread = np.maximum(by_chance.std(axis=0), np.median(by_chance.std(axis=0)))
    furthest = NormalDist().inv_cdf(1 - ERROR_RATE / concepts)
    lowest = np.tanh(_fisher(expected) - furthest * spread)
    unrelated = np.tanh(furthest / np.sqrt(heads - 3))
    outcome = np.where(found < lowest, DIFFERS, AGREES)
    return xr.Dataset(
        {
            "votes": yours["votes"].reset_coords(drop=True),
            "split_half": ("concept", split_half),
            "expected": ("concept", expected),
            "lowest": ("concept", lowest),
            "found": ("concept", found),
            "outcome": ("concept", np.where(lowest <= unrelated, OPEN, outcome)),
        }
    )


def align(published: xr.DataArray, yours: xr.DataArray) -> xr.DataArray:
    """Select the concepts and heads of vectors from published ones, in the same order.

    Parameters
    ----------
    published, yours : xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.
    """
    own = {dim: yours[dim].values for dim in ("concept", "head_position")}
    return published.sel(own).transpose("concept", "head_position")


def _correlations(
    counts: NDArray[np.integer], theirs: NDArray[np.floating], published_prompts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute each concept's split-half, expected and found correlation; 0 where undefined."""
    even, odd = counts[::2].sum(0), counts[1::2].sum(0)
    split_half = np.nan_to_num(correlation(normalize(even), normalize(odd)))
    found = np.nan_to_num(correlation(normalize(even + odd), theirs))
    return split_half, expected_correlation(split_half, len(counts), published_prompts), found


def _gaps_by_chance(counts: NDArray[np.integer], splits: int, seed: int) -> NDArray[np.float64]:
    """Verify one part of the votes by the other; return the gaps, shape (split, concept).

    Even and odd prompts stay apart in both parts.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    pairs = np.arange(len(counts) // 2 * 2).reshape(-1, 2)
    part = len(pairs) // 2
    gaps = []
    for _ in range(splits):
        shuffled = rng.permuted(pairs, axis=0)
        yours, others = counts[shuffled[:part].ravel()], counts[shuffled[part:].ravel()]
        _, expected, found = _correlations(yours, normalize(others.sum(0)), len(others))
        gaps.append(_fisher(found) - _fisher(expected))
    return np.array(gaps)


def _fisher(correlations: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.arctanh(np.clip(correlations, -1 + 1e-9, 1 - 1e-9))
