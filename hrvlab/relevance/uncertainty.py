"""How far Head Relevance Vectors depend on the prompts that they were built from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.relevance.counts import counts_by_prompt
from hrvlab.relevance.vectors import by_position, normalize, rank
from hrvlab.statistics import LEVEL, correlation, mean_of_present, percentile_interval


def resample_votes(votes: NDArray[np.integer], resamples: int, seed: int = 0) -> NDArray[np.int64]:
    """Draw prompts with replacement, as many as there are, and add up their votes.

    Parameters
    ----------
    votes : ndarray of int, shape (prompt, head_position, concept)
    resamples : int
    seed : int

    Returns
    -------
    ndarray of int64, shape (draw, head_position, concept)
        Every draw holds as many votes as the prompts together.
    """
    prompts = len(votes)
    rng = np.random.Generator(np.random.Philox(key=seed))
    times_drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    return np.einsum("dp,phc->dhc", times_drawn, votes.astype(np.int64), optimize=True)


def bootstrap_relevance(votes: xr.Dataset, *, resamples: int = 200, seed: int = 0) -> xr.DataArray:
    """Build Head Relevance Vectors from resampled prompts.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`.
    resamples : int
    seed : int

    Returns
    -------
    xarray.DataArray
        Dims ``(draw, concept, head_position)``; NaN where a concept received no vote in a draw.

    Raises
    ------
    ParameterError
        If denoiser calls were selected, whose votes by prompt are not counted.
    """
    counts = counts_by_prompt(votes)
    vectors = normalize(resample_votes(counts.values, resamples, seed))
    kept = {n: c for n, c in counts.coords.items() if "prompt" not in c.dims}
    return xr.DataArray(
        vectors, dims=("draw", "concept", "head_position"), coords=kept, name="relevance"
    )


def top_head_stability(hrv: xr.DataArray, draws: xr.DataArray, count: int = 10) -> xr.DataArray:
    """Compute how often each of a concept's top heads is among the top heads of a resample.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    draws : xarray.DataArray, dims (draw, concept, head_position)
        From `bootstrap_relevance`.
    count : int
        Number of top heads.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, rank)``, in [0, 1]; count / head positions is expected by chance.
    """
    top = rank(hrv).isel(rank=slice(count))
    resampled = (
        rank(_like(draws, hrv)).isel(rank=slice(count)).transpose("draw", "concept", "rank").values
    )
    found = (resampled[:, :, None, :] == top.values[None, :, :, None]).any(-1)
    return top.copy(data=found.mean(0)).rename("stability")


def leading_heads(hrv: xr.DataArray, count: int = 10) -> xr.Dataset:
    """List each concept's most relevant heads.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    count : int
        Number of heads of each concept.

    Returns
    -------
    xarray.Dataset
        ``relevance`` and the head's ``label``, dims ``(concept, rank)``.
    """
    ordered = by_position(hrv).transpose("concept", "head_position")
    heads = _top_indices(ordered, count)
    return xr.Dataset(
        {
            "relevance": (("concept", "rank"), np.take_along_axis(ordered.values, heads, 1)),
            "label": (("concept", "rank"), ordered["label"].values[heads]),
        },
        {"concept": hrv["concept"].values},
    )


def top_heads_with_interval(
    hrv: xr.DataArray, draws: xr.DataArray, count: int = 10, *, level: float = LEVEL
) -> xr.Dataset:
    """List each concept's most relevant heads, with bootstrap intervals over prompts.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    draws : xarray.DataArray, dims (draw, concept, head_position)
        From `bootstrap_relevance`.
    count : int
        Number of heads of each concept.
    level : float
        Share of draws inside the interval.

    Returns
    -------
    xarray.Dataset
        Dims ``(concept, rank)``: what `leading_heads` returns; the ends ``low`` and ``high`` of
        the interval of ``relevance``; and ``stability``, from `top_head_stability`.
    """
    top = leading_heads(hrv, count)
    ordered = by_position(hrv).transpose("concept", "head_position")
    heads = _top_indices(ordered, count)
    own = _like(draws, ordered).transpose("draw", "concept", "head_position")
    ends = percentile_interval(own.values, level=level)
    for name, values in zip(("low", "high"), ends, strict=True):
        top[name] = ("concept", "rank"), np.take_along_axis(values, heads, 1)
    return top.assign(stability=top_head_stability(hrv, draws, count))


def _top_indices(ordered: xr.DataArray, count: int) -> NDArray[np.intp]:
    """Return where each concept's most relevant heads stand in vectors sorted by position."""
    return np.searchsorted(ordered["head_position"].values, rank(ordered).values[:, :count])


def _like(draws: xr.DataArray, hrv: xr.DataArray) -> xr.DataArray:
    """Select the concepts and heads of vectors from draws, in the same order."""
    return draws.sel({dim: hrv[dim].values for dim in ("concept", "head_position")})


def convergence(
    votes: xr.Dataset,
    *,
    ranked: bool = False,
    sizes: Sequence[int] | None = None,
    resamples: int = 20,
    seed: int = 0,
) -> xr.DataArray:
    """Correlate vectors built from two disjoint sets of prompts, for sets of growing size.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`.
    ranked : bool
        Compute Spearman's correlation of ranks instead of Pearson's.
    sizes : sequence of int, optional
        Numbers of prompts in each set, at most half of all; default: doubling from 4.
    resamples : int
        Number of random pairs of sets that are averaged over.
    seed : int

    Returns
    -------
    xarray.DataArray
        Dims ``(prompts, concept)``; NaN where a concept received no vote.

    Raises
    ------
    ParameterError
        If a size is not between 1 and half of the prompts, or denoiser calls were selected.
    """
    counts = counts_by_prompt(votes).values
    half = len(counts) // 2
    chosen = list(sizes) if sizes is not None else _doubling(half)
    if not chosen or not all(1 <= size <= half for size in chosen):
        raise ParameterError(
            f"two disjoint sets of {chosen} prompts cannot be taken from {len(counts)} prompts; "
            f"give sizes from 1 to {half}"
        )
    rng = np.random.Generator(np.random.Philox(key=seed))
    orders = [rng.permutation(len(counts)) for _ in range(resamples)]
    found = [
        [_agreement(counts[order[:size]], counts[order[-size:]], ranked) for order in orders]
        for size in chosen
    ]
    return xr.DataArray(
        mean_of_present(np.array(found), axis=1),
        dims=("prompts", "concept"),
        coords={"prompts": chosen, "concept": votes["concept"].values},
        name="correlation",
    )


def _agreement(
    first: NDArray[np.integer], second: NDArray[np.integer], ranked: bool
) -> NDArray[np.float64]:
    """Correlate each concept's vectors from two sets of votes (prompt, head_position, concept)."""
    return correlation(normalize(first.sum(0)), normalize(second.sum(0)), ranked=ranked)


def _doubling(half: int) -> list[int]:
    """List powers of two from 4 up to half of the prompts, and that half itself."""
    sizes = [4 * 2**power for power in range(20) if 4 * 2**power < half]
    return [*sizes, half] if half else []
