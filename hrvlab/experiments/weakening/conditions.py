"""Conditions of ordered weakening: orders of heads, and numbers of weakened heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.relevance.vectors import rank

if TYPE_CHECKING:
    from hrvlab.typing import HeadFactors

MOST_FIRST, LEAST_FIRST, RANDOM = "MoRHF", "LeRHF", "random"
KINDS = (MOST_FIRST, LEAST_FIRST, RANDOM)
CUTS = 9


def make_orders(
    relevance: xr.DataArray, kinds: Sequence[str], *, draws: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Order the heads of one concept in one or several kinds of order.

    Parameters
    ----------
    relevance : xarray.DataArray, dims (head_position)
    kinds : sequence of str
        ``"MoRHF"``, ``"LeRHF"`` (its reverse) and ``"random"``.
    draws : int
        Number of random orders.
    seed : int
        A random order depends on this seed and its own number alone.

    Returns
    -------
    dict of str to ndarray of int64, shape (head_position,)
        Head positions in the order in which they are weakened; of equally relevant heads, the one
        at the lower position counts as more relevant. Random orders are named ``"random 0"``,
        ``"random 1"``, ….

    Raises
    ------
    ParameterError
        If a kind is unknown, or there is no order at all.
    """
    descending = rank(relevance).values
    orders = {}
    for kind in kinds:
        if kind == MOST_FIRST:
            orders[kind] = descending
        elif kind == LEAST_FIRST:
            orders[kind] = descending[::-1]
        elif kind == RANDOM:
            for draw in range(draws):
                rng = np.random.Generator(np.random.Philox(key=[seed, draw]))
                orders[f"{RANDOM} {draw}"] = rng.permutation(len(descending))
        else:
            raise ParameterError(f"unknown order {kind!r}; give some of {', '.join(KINDS)}")
    if not orders:
        raise ParameterError(
            f"there is no order; give some of {', '.join(KINDS)}, and draws of 1 or more"
        )
    return orders


def weakened_factors(
    orders: Sequence[NDArray[np.int64]], cuts: Sequence[int], factor: float
) -> tuple[HeadFactors, NDArray[np.int64]]:
    """Tabulate the heads' factors for every order and cut; no two settings are the same.

    Parameters
    ----------
    orders : sequence of ndarray of int64, shape (head_position,)
    cuts : sequence of int
        Numbers of weakened heads.
    factor : float
        By which the attention of weakened heads is multiplied.

    Returns
    -------
    factors : ndarray of float64, shape (setting, head_position)
    index : ndarray of int64, shape (order, cut)
        The setting of each order and cut; all orders share those of no head and of all heads.
    """
    factors = np.ones((len(orders), len(cuts), len(orders[0])))
    for row, order in zip(factors, orders, strict=True):
        for setting, cut in zip(row, cuts, strict=True):
            setting[order[:cut]] = factor
    settings, index = np.unique(factors.reshape(-1, factors.shape[-1]), axis=0, return_inverse=True)
    return settings, index.reshape(factors.shape[:2])


def check_cuts(cuts: Sequence[int] | None, heads: int) -> list[int]:
    """Complete the numbers of weakened heads: none and all are always included.

    Parameters
    ----------
    cuts : sequence of int, optional
        Default: nine, evenly spread.
    heads : int
        Of the model.

    Returns
    -------
    list of int
        Ascending, without repetition.

    Raises
    ------
    ParameterError
        If the model has no such number of heads.
    """
    if cuts is None:
        return np.unique(np.linspace(0, heads, CUTS).round().astype(int)).tolist()
    wrong = [cut for cut in cuts if not 0 <= cut <= heads]
    if wrong:
        raise ParameterError(f"the cuts {wrong} are not between 0 and {heads} heads")
    return sorted({0, heads, *cuts})
