"""What a pool's votes tell of relevance, with the error that sampling adds."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrvlab.statistics import LEVEL

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
# Of a correction to first order, what may be left to correct; with it intervals cover as often as
# they say, as `timings/asking.py` measures.
HIGHER_ORDERS = 0.5


class Estimate(NamedTuple):
    """Estimates with 95 % intervals.

    Parameters
    ----------
    value, low, high : ndarray of float64
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def share_interval(
    shares: NDArray[np.float64],
    variances: NDArray[np.float64],
    votes: int,
    corrections: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's 95 % interval of shares that were estimated with known variances.

    A share is treated as if it came from as many independent votes as would have its variance. The
    interval is widened at both ends by a part of the correction of small samples of positions,
    which is of first order: what it leaves is of its size, and errs to one side in all prompts.

    Parameters
    ----------
    shares, variances : ndarray of float64, shape (...)
        Shares may lie outside [0, 1] by their error.
    votes : int
        Votes that the shares were estimated from; they count where no variance is seen.
    corrections : ndarray of float64, shape (...)
        By how much the votes of samples err, to first order.

    Returns
    -------
    low, high : ndarray of float64, shape (...)
        In [0, 1].
    """
    inside = np.clip(shares, 0, 1)
    binomial = inside * (1 - inside)
    known = (variances > 0) & (binomial > 0)
    ratio = np.divide(binomial, variances, out=np.full(inside.shape, float(votes)), where=known)
    number = np.maximum(ratio, 1.0)
    spread = Z**2 / number
    middle = inside + spread / 2
    half = Z * np.sqrt(binomial / number + spread / (4 * number))
    unknown = HIGHER_ORDERS * np.abs(corrections)
    return (
        np.clip((middle - half) / (1 + spread) - unknown, 0, 1),
        np.clip((middle + half) / (1 + spread) + unknown, 0, 1),
    )


def corrected_shares(won: NDArray[np.float64], lacking: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average shares of votes over prompts, and correct the error of the sampled positions.

    It is corrected as far as it is larger than its own error.

    Parameters
    ----------
    won, lacking : ndarray of float64, shape (prompt, ...)
        Shares of each prompt's votes, and by how much they err; see
        `hrvlab.reservoir.kernel.winning`.

    Returns
    -------
    ndarray of float64, shape (...)
        Of 0 or more.
    """
    error, spread = lacking.mean(axis=0), variance_of_mean(lacking)
    weight = 1 - np.divide(spread, error**2, out=np.ones_like(error), where=spread < error**2)
    return np.asarray(np.maximum(won.mean(axis=0) + weight * error, 0))


def variance_of_mean(by_prompt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the variance of a mean over prompts, the first axis; 0 if there is only one."""
    prompts = len(by_prompt)
    if prompts < 2:
        return np.zeros(by_prompt.shape[1:])
    return np.asarray(by_prompt.var(axis=0, ddof=1) / prompts)


def estimate_relevance(votes: NDArray[np.floating], *, timesteps: int) -> Estimate:
    """Estimate relevance from sampled votes, with intervals over prompts.

    Parameters
    ----------
    votes : ndarray of float, shape (2, prompt, head_position, concept)
        From `hrvlab.reservoir.asking.cast_votes`.
    timesteps : int
        Votes of each prompt.

    Returns
    -------
    Estimate
        Shape (concept, head_position); NaN for a concept that got no vote. Each row of values sums
        to the number of head positions.

    Notes
    -----
    A relevance is a ratio of sums over prompts, whose variance follows from what each prompt adds
    to its numerator less the ratio times its denominator (linearization).
    """
    won, lacking = votes.astype(np.float64)
    prompts, heads, _ = won.shape
    shares = corrected_shares(won, lacking)
    totals = shares.sum(axis=0)
    of_heads = np.divide(shares, totals, out=np.full_like(shares, np.nan), where=totals > 0)
    corrected = won + lacking
    residuals = corrected - of_heads * corrected.sum(axis=1, keepdims=True)
    ends = share_interval(
        shares, variance_of_mean(residuals), prompts * timesteps, lacking.mean(axis=0)
    )
    value, low, high = (
        heads * np.divide(each, totals, out=np.full_like(shares, np.nan), where=totals > 0).T
        for each in (shares, *ends)
    )
    return Estimate(value, low, high)
