"""How far Head Relevance Vectors depend on the prompts they were built from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.relevance.similarity import mean_ranks
from hrvlab.relevance.vectors import normalise, rank


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
        Each draw holds as many votes as there were.
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
        Dims ``(draw, concept, head_position)``; NaN where a concept got no vote in a draw.
    """
    counts = votes["votes_by_prompt"].transpose("prompt", "head_position", "concept")
    vectors = normalise(resample_votes(counts.values, resamples, seed))
    kept = {n: c for n, c in counts.coords.items() if "prompt" not in c.dims}
    return xr.DataArray(
        vectors, dims=("draw", "concept", "head_position"), coords=kept, name="relevance"
    )


def top_head_stability(hrv: xr.DataArray, draws: xr.DataArray, count: int = 10) -> xr.DataArray:
    """Say how often each of a concept's top heads is among the top heads of a resample.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    draws : xarray.DataArray, dims (draw, concept, head_position)
        From `bootstrap_relevance`.
    count : int
        How many heads are the top.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, rank)``, in [0, 1]; by chance it would be count / head positions.
    """
    top = rank(hrv).isel(rank=slice(count))
    drawn = rank(draws).isel(rank=slice(count)).transpose("draw", "concept", "rank").values
    found = (drawn[:, :, None, :] == top.values[None, :, :, None]).any(-1)
    return top.copy(data=found.mean(0)).rename("stability")


def leading_heads(hrv: xr.DataArray, count: int = 10) -> xr.Dataset:
    """Give each concept's most relevant heads.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    count : int

    Returns
    -------
    xarray.Dataset
        Over ``(concept, rank)``: ``relevance``, and the head's ``label``.
    """
    heads = rank(hrv).isel(rank=slice(count))
    values = hrv.transpose("concept", "head_position").values
    return xr.Dataset(
        {
            "relevance": (heads.dims, np.take_along_axis(values, heads.values, 1)),
            "label": (heads.dims, hrv["label"].values[heads.values]),
        },
        {"concept": hrv["concept"].values},
    )


def top_heads_with_interval(
    hrv: xr.DataArray, draws: xr.DataArray, count: int = 10, *, level: float = 0.95
) -> xr.Dataset:
    """Give each concept's top heads with what resampled prompts say of them.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    draws : xarray.DataArray, dims (draw, concept, head_position)
        From `bootstrap_relevance`.
    count : int
        How many heads are the top.
    level : float
        Share of draws inside the interval.

    Returns
    -------
    xarray.Dataset
        Over ``(concept, rank)``: ``relevance``, the ends ``low`` and ``high`` of its bootstrap
        interval over prompts, the head's ``label``, and ``stability`` as of `top_head_stability`.
    """
    top = leading_heads(hrv, count)
    tail = (1 - level) / 2
    ends = np.nanquantile(
        draws.transpose("draw", "concept", "head_position"), [tail, 1 - tail], axis=0
    )
    for name, values in zip(("low", "high"), ends, strict=True):
        chosen = np.take_along_axis(values, rank(hrv).values[:, :count], 1)
        top[name] = ("concept", "rank"), chosen
    return top.assign(stability=top_head_stability(hrv, draws, count))


def convergence(
    votes: xr.Dataset,
    *,
    ranked: bool = False,
    sizes: Sequence[int] | None = None,
    resamples: int = 20,
    seed: int = 0,
) -> xr.DataArray:
    """Correlate vectors built from two disjoint sets of prompts, for growing sets.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`.
    ranked : bool
        Correlate the ranks of heads (Spearman) instead of their relevance (Pearson).
    sizes : sequence of int, optional
        Prompts in each set, at most half of all; default: doubling from 4.
    resamples : int
        Random pairs of sets to average over.
    seed : int

    Returns
    -------
    xarray.DataArray
        Dims ``(prompts, concept)``; NaN where a concept got no vote.

    Raises
    ------
    ParameterError
        If a size is not between 1 and half of the prompts.
    """
    counts = votes["votes_by_prompt"].transpose("prompt", "head_position", "concept").values
    half = len(counts) // 2
    chosen = list(sizes) if sizes is not None else _doubling(half)
    if not chosen or not all(1 <= size <= half for size in chosen):
        raise ParameterError(
            f"two sets of {chosen} prompts cannot be taken from {len(counts)}; "
            f"give sizes from 1 to {half}"
        )
    rng = np.random.Generator(np.random.Philox(key=seed))
    orders = [rng.permutation(len(counts)) for _ in range(resamples)]
    found = [
        np.nanmean(
            [
                _correlations(counts[order[:size]], counts[order[-size:]], ranked=ranked)
                for order in orders
            ],
            axis=0,
        )
        for size in chosen
    ]
    return xr.DataArray(
        np.array(found),
        dims=("prompts", "concept"),
        coords={"prompts": chosen, "concept": votes["concept"].values},
        name="correlation",
    )


def _doubling(half: int) -> list[int]:
    sizes = [4 * 2**power for power in range(20) if 4 * 2**power < half]
    return [*sizes, half] if half else []


def _correlations(
    first: NDArray[np.integer], second: NDArray[np.integer], *, ranked: bool
) -> NDArray[np.float64]:
    """Correlation of each concept's vectors from two sets of votes."""
    both = [normalise(votes.sum(0)) for votes in (first, second)]
    if ranked:
        both = [mean_ranks(vectors) for vectors in both]
    one, other = (vectors - vectors.mean(-1, keepdims=True) for vectors in both)
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.divide((one * other).sum(-1), norms, out=np.full(len(one), np.nan), where=norms > 0)
