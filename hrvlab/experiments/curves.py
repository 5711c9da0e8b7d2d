"""Areas under weakening curves, gaps between orders, and their bootstrap intervals."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000


def bootstrap_interval(
    values: NDArray[np.floating],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the percentile interval of a mean over paired samples.

    Parameters
    ----------
    values : ndarray of float, shape (..., sample)
        The same samples are drawn for every leading entry, so that differences stay paired.
    resamples : int
    level : float
        Share of resampled means inside the interval.
    seed : int

    Returns
    -------
    low, high : ndarray of float64, shape (...)
    """
    count = values.shape[-1]
    rng = np.random.Generator(np.random.Philox(key=seed))
    # A mean over a resample is a weighted mean: how often each sample was drawn.
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count
    means = np.asarray(values, np.float64) @ weights.T
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=-1)
    return low, high


def area(curves: xr.Dataset) -> xr.DataArray:
    """Integrate each score curve over the share of weakened heads.

    Parameters
    ----------
    curves : xarray.Dataset
        From `weaken`.

    Returns
    -------
    xarray.DataArray
        Dims ``(..., order, prompt, seed)``; trapezoids, so a constant score gives itself.
    """
    score = curves["score"].transpose(..., "order", "prompt", "seed", "weakened")
    values = np.trapezoid(score.values, curves["share"].values, axis=-1)
    return xr.DataArray(values, dims=score.dims[:-1], coords=_without(curves, "weakened"))


def by_kind(array: xr.DataArray) -> xr.DataArray:
    """Average the random orders into one.

    Parameters
    ----------
    array : xarray.DataArray, dims (order, ...)

    Returns
    -------
    xarray.DataArray
        Dims ``(kind, ...)``.
    """
    return array.groupby("kind").mean("order")


def gaps(curves: xr.Dataset) -> xr.DataArray:
    """Give how much smaller the area is when the most relevant heads go first.

    Parameters
    ----------
    curves : xarray.Dataset
        From `weaken`, with the order MoRHF and at least one other.

    Returns
    -------
    xarray.DataArray
        Dims ``(kind, prompt, seed)``: area of each other kind of order less that of MoRHF;
        positive where the vector ranks heads better than that order.
    """
    areas = by_kind(area(curves))
    others = [kind for kind in areas["kind"].values if kind != "MoRHF"]
    return areas.sel(kind=others) - areas.sel(kind="MoRHF", drop=True)


def with_interval(array: xr.DataArray, *, seed: int = 0) -> xr.Dataset:
    """Average over prompts and seeds, with a bootstrap interval over both.

    Parameters
    ----------
    array : xarray.DataArray, dims (..., prompt, seed)

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low`` and ``high``, without prompt and seed.
    """
    flat = array.stack(sample=("prompt", "seed"), create_index=False).transpose(..., "sample")
    low, high = bootstrap_interval(flat.values, seed=seed)
    mean = flat.mean("sample")
    return xr.Dataset({"mean": mean, "low": mean.copy(data=low), "high": mean.copy(data=high)})


def clustered_interval(
    array: xr.DataArray, cluster: str = "prompt", *, seed: int = 0
) -> xr.Dataset:
    """Average over prompts and seeds, with a bootstrap interval over clusters and their pictures.

    Clusters are drawn with replacement, and from each drawn cluster the pictures of its prompts:
    what the same prompts, or the prompts of one word, have in common does not pass for many
    findings.

    Parameters
    ----------
    array : xarray.DataArray, dims (..., prompt, seed)
        The same samples are drawn for every leading entry, so that differences stay paired.
    cluster : str
        ``"prompt"``, or a coordinate of prompts that says which belong together, such as
        ``"word"``.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low`` and ``high``, without prompt and seed.
    """
    values = array.transpose(..., "prompt", "seed")
    prompts, seeds = values.shape[-2:]
    labels = range(prompts) if cluster == "prompt" else array[cluster].values
    _, member = np.unique(labels, return_inverse=True)
    clusters = int(member.max()) + 1
    rng = np.random.Generator(np.random.Philox(key=seed))
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES)
    # A prompt that was drawn n times has n independent draws of its pictures.
    weights = rng.multinomial(drawn[:, member] * seeds, np.full(seeds, 1 / seeds))
    weights = weights / weights.sum((1, 2), keepdims=True)
    means = np.tensordot(values.values.astype(np.float64), weights, axes=([-2, -1], [1, 2]))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=-1)
    mean = array.mean(("prompt", "seed"))
    return xr.Dataset({"mean": mean, "low": mean.copy(data=low), "high": mean.copy(data=high)})


def _without(dataset: xr.Dataset, dim: str) -> dict[str, xr.DataArray]:
    return {str(n): c for n, c in dataset.coords.items() if dim not in c.dims}
