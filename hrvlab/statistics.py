"""Intervals, correlations and reliability: the one policy that every result follows.

Images of one prompt resemble one another, so intervals are taken over prompts: they are 95 %
percentile intervals of a bootstrap that draws prompts with replacement, and then images of every
drawn prompt. An experiment may name a coordinate that groups prompts, as disambiguation does with
words; then groups are drawn instead. Reliability splits the prompts into halves.

Means and intervals skip NaN, and are NaN where nothing is left. The correlation with a row that
does not vary, or that holds NaN, is NaN.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
SPLITS = 200


def mean_of_present(values: NDArray[np.floating], *, axis: int = -1) -> NDArray[np.float64]:
    """Average along an axis, skipping NaN.

    Parameters
    ----------
    values : ndarray of float, shape (..., n, ...)
    axis : int

    Returns
    -------
    ndarray of float64, shape (..., ...)
        NaN where all n are NaN.

    Examples
    --------
    >>> mean_of_present(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]))
    array([ 2., nan])
    """
    missing = np.isnan(values)
    if not missing.any():
        return np.asarray(values.mean(axis))
    return _ratio(np.where(missing, 0.0, values).sum(axis), (~missing).sum(axis))


def mean_ranks(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rank the numbers along the last axis from lowest to highest; ties share their mean rank.

    Parameters
    ----------
    rows : ndarray of float, shape (..., n)

    Returns
    -------
    ndarray of float64, shape (..., n)
        From 1 to n; NaN stays NaN.

    Examples
    --------
    >>> mean_ranks(np.array([[0.5, 0.1, 0.5]]))
    array([[2.5, 1. , 2.5]])
    """
    flat = pd.DataFrame(rows.reshape(-1, rows.shape[-1]))
    return flat.rank(axis=1).to_numpy().reshape(rows.shape)


def correlation(
    rows: NDArray[np.floating], others: NDArray[np.floating], *, ranked: bool = False
) -> NDArray[np.float64]:
    """Correlate rows with their counterparts.

    Parameters
    ----------
    rows, others : ndarray of float, shape (..., n)
        Broadcast against each other.
    ranked : bool
        Compute Spearman's correlation of ranks instead of Pearson's.

    Returns
    -------
    ndarray of float64, shape (...)
        NaN where a row does not vary or holds NaN.

    Examples
    --------
    >>> correlation(np.arange(3.0), np.array([1.0, 4.0, 5.0]), ranked=True).round(6).item()
    1.0
    """
    both = [mean_ranks(np.asarray(each)) if ranked else np.asarray(each) for each in (rows, others)]
    one, other = (each - each.mean(-1, keepdims=True) for each in both)
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    # The deviations of equal numbers from their mean can be rounding errors instead of 0.
    varies = np.logical_and(*(np.ptp(each, axis=-1) > 0 for each in both))
    return _ratio(np.asarray((one * other).sum(-1)), np.where(varies, norms, 0.0))


def spearman_brown(reliability: NDArray[np.floating] | float, factor: float) -> NDArray[np.float64]:
    """Predict the reliability of a measurement that is lengthened by a factor.

    Parameters
    ----------
    reliability : ndarray of float, or float
        Correlation of two measurements of the present length; a negative one counts as 0.
    factor : float

    Returns
    -------
    ndarray of float64
        In [0, 1]; NaN stays NaN.
    """
    positive = np.clip(reliability, 0, 1)
    return np.asarray(factor * positive / (1 + (factor - 1) * positive))


def split_half_reliability(
    measured: xr.DataArray, *, over: str = "head_position", splits: int = SPLITS, seed: int = 0
) -> float:
    """Estimate how well measurements of heads would agree with those of as many other prompts.

    Parameters
    ----------
    measured : xarray.DataArray, dims (head_position, prompt, ...)
        Further dims, such as ``seed``, are averaged first.
    over : str
        The dim along which measurements are correlated.
    splits : int
        Number of random divisions of the prompts into halves.
    seed : int

    Returns
    -------
    float
        Mean rank correlation between halves, stepped up to the full number of prompts by the
        formula of Spearman and Brown; NaN for fewer than two prompts, which cannot be split. No
        vector can be expected to correlate better with the measurements than its square root.
    """
    further = [dim for dim in measured.dims if dim not in (over, "prompt")]
    samples = measured.astype(np.float64).mean(further).transpose(over, "prompt").values
    count = samples.shape[1]
    if count < 2:
        return np.nan
    rng = np.random.Generator(np.random.Philox(key=seed))
    orders = np.stack([rng.permutation(count) for _ in range(splits)])
    first, second = (
        mean_of_present(samples[:, part]).T
        for part in (orders[:, : count // 2], orders[:, count // 2 :])
    )
    halves = correlation(first, second, ranked=True)
    return float(spearman_brown(mean_of_present(halves), 2))


def resample_weights(
    clusters: Sequence[object], images: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Draw clusters of prompts with replacement, and from each drawn prompt its images.

    Parameters
    ----------
    clusters : sequence
        For each prompt, a label of the cluster that it belongs to.
    images : int
        Number of images of each prompt.
    resamples, seed : int

    Returns
    -------
    ndarray of float64, shape (resample, prompt, image)
        The weight of every image in the mean of each resample; each resample sums to 1.
    """
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(member.max()) + 1
    rng = np.random.Generator(np.random.Philox(key=seed))
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    # A prompt that was drawn n times has n independent draws of its images.
    weights = rng.multinomial(drawn[:, member] * images, np.full(images, 1 / images))
    return weights / weights.sum((1, 2), keepdims=True)


def weighted_means(
    values: NDArray[np.generic], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average over prompts and images under the weights of each resample, skipping NaN.

    Parameters
    ----------
    values : ndarray, shape (..., prompt, image)
    weights : ndarray of float64, shape (resample, prompt, image)
        From `resample_weights`.

    Returns
    -------
    ndarray of float64, shape (..., resample)
    """
    numbers = values.astype(np.float64)
    axes = ([-2, -1], [1, 2])
    missing = np.isnan(numbers)
    if not missing.any():
        return np.tensordot(numbers, weights, axes=axes)
    totals = np.tensordot(np.where(missing, 0.0, numbers), weights, axes=axes)
    present = np.tensordot((~missing).astype(np.float64), weights, axes=axes)
    return _ratio(totals, present)


def percentile_interval(
    draws: NDArray[np.floating], *, axis: int = 0, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the central interval of resampled values, skipping NaN.

    Parameters
    ----------
    draws : ndarray of float, shape (..., draw, ...)
    axis : int
        The axis of the draws.
    level : float
        Share of the draws inside the interval.

    Returns
    -------
    low, high : ndarray of float64, shape (..., ...)
    """
    tail = (1 - level) / 2
    quantile = np.nanquantile if np.isnan(draws).any() else np.quantile
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # its quantiles are NaN
        low, high = quantile(draws, [tail, 1 - tail], axis=axis)
    return low, high


def mean_with_interval(
    array: xr.DataArray, cluster: str = "prompt", *, seed: int = 0
) -> xr.Dataset:
    """Average over prompts and seeds, with a bootstrap interval over clusters of prompts.

    Parameters
    ----------
    array : xarray.DataArray, dims (..., prompt, seed)
        The same resamples are drawn for every leading entry, so that differences stay paired.
    cluster : str
        ``"prompt"``, or a coordinate of prompts that shows which belong together, such as
        ``"word"``.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low`` and ``high``, dims ``(...)``.

    Examples
    --------
    >>> rates = xr.DataArray([[0.0, 1.0], [1.0, 1.0]], dims=("prompt", "seed"))
    >>> {name: float(value) for name, value in hl.mean_with_interval(rates).items()}
    {'mean': 0.75, 'low': 0.25, 'high': 1.0}
    """
    values = array.transpose(..., "prompt", "seed")
    clusters = range(values.sizes["prompt"]) if cluster == "prompt" else array[cluster].values
    weights = resample_weights(list(clusters), values.sizes["seed"], seed=seed)
    low, high = percentile_interval(weighted_means(values.values, weights), axis=-1)
    mean = array.mean(("prompt", "seed"))
    return xr.Dataset({"mean": mean, "low": mean.copy(data=low), "high": mean.copy(data=high)})


def proportion_interval(successes: int, total: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of a proportion.

    Parameters
    ----------
    successes, total : int

    Returns
    -------
    low, high : float
        In [0, 1].

    Examples
    --------
    >>> low, high = proportion_interval(8, 10)
    >>> f"{low:.2f} to {high:.2f}"
    '0.49 to 0.94'
    """
    z = round(NormalDist().inv_cdf((1 + LEVEL) / 2), 2)
    rate, spread = successes / total, z**2 / total
    middle = rate + spread / 2
    half = z * sqrt(rate * (1 - rate) / total + spread / (4 * total))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def _ratio(
    numerators: NDArray[np.floating], denominators: NDArray[np.number]
) -> NDArray[np.float64]:
    """Divide; NaN where the denominator is 0 or NaN."""
    unknown = np.full(numerators.shape, np.nan)
    return np.divide(numerators, denominators, out=unknown, where=denominators > 0)
