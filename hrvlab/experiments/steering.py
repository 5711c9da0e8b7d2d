"""Steer a word with Head Relevance Vectors: concept strengthening and concept adjusting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.attention import Rescale
from hrvlab.errors import ConceptError, ParameterError
from hrvlab.relevance.vectors import rank
from hrvlab.typing import HeadFactors


def strengthening_factors(
    relevance: NDArray[np.floating], strength: float | Sequence[float]
) -> HeadFactors:
    """Turn a concept's relevance into factors, ``1 + strength (relevance − 1)``.

    Parameters
    ----------
    relevance : ndarray of float, shape (head_position,)
    strength : float or sequence of float
        0 changes nothing, 1 multiplies by the relevance itself; a sequence gives one row each.

    Returns
    -------
    ndarray of float64, shape (head_position,) or (prompt, head_position)
        Every row averages 1 if the relevance does.
    """
    return 1 + np.multiply.outer(np.asarray(strength, np.float64), relevance - 1)


def adjusting_factors(
    toward: NDArray[np.floating],
    away: NDArray[np.floating],
    *,
    gain: float = 2.0,
    loss: float = 1.0,
    clamp: float | None = None,
) -> HeadFactors:
    """Turn the relevance of a wanted and of an unwanted concept into factors.

    Parameters
    ----------
    toward, away : ndarray of float, shape (head_position,)
    gain, loss : float
        The factors average ``gain − loss``.
    clamp : float, optional
        Largest relevance that counts, in either vector; models of many heads need one.

    Returns
    -------
    ndarray of float64, shape (head_position,)
        ``gain · toward − loss · away``; negative factors are normal.
    """
    limit = np.inf if clamp is None else clamp
    return gain * np.minimum(toward, limit) - loss * np.minimum(away, limit)


def strengthen(
    hrv: xr.DataArray,
    concept: str,
    word: str | Sequence[str],
    *,
    strength: float | Sequence[float] = 1.0,
    top: int | None = None,
    layers: Sequence[int] | None = None,
    window: tuple[int, int | None] = (0, None),
    allow_other_model: bool = False,
) -> Rescale:
    """Strengthen a concept in a word: its relevant heads look at the word more, others less.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str
    word : str or sequence of str
        A word or phrase of the prompt, or several.
    strength : float or sequence of float
        0 changes nothing, 1 is the published method; a sequence gives one for each prompt.
    top : int, optional
        Act on the most relevant heads only.
    layers : sequence of int, optional
        Act in these layers only, numbered in forward order.
    window : tuple of int or None
        First UNet call and past-the-last UNet call in which it acts.
    allow_other_model : bool
        Use the vectors on another model than they were built from.

    Returns
    -------
    Rescale
        An edit for `generate` and `attach`.

    Raises
    ------
    ConceptError
        If there is no such concept.
    ParameterError
        If the selection holds no head.

    Notes
    -----
    Concept strengthening, Section 5 of arXiv 2412.02237, which has a strength of 1.
    """
    row = concept_row(hrv, concept)
    factors = strengthening_factors(row.values, strength)
    return _edit(row, factors, word, top, layers, window, allow_other_model)


def adjust(
    hrv: xr.DataArray,
    *,
    toward: str,
    away: str,
    word: str | Sequence[str],
    gain: float = 2.0,
    loss: float = 1.0,
    clamp: float | None = None,
    top: int | None = None,
    layers: Sequence[int] | None = None,
    window: tuple[int, int | None] = (0, None),
    allow_other_model: bool = False,
) -> Rescale:
    """Adjust a word from an unwanted concept toward a wanted one.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    toward, away : str
        The wanted and the unwanted concept.
    word : str or sequence of str
    gain, loss, clamp
        See `adjusting_factors`.
    top : int, optional
        Act on the heads only in which the two concepts differ most.
    layers, window, allow_other_model
        As in `strengthen`.

    Returns
    -------
    Rescale

    Raises
    ------
    ConceptError
        If there is no such concept.
    ParameterError
        If the selection holds no head.

    Notes
    -----
    Concept adjusting, Section 5 of arXiv 2412.02237.
    """
    wanted, unwanted = concept_row(hrv, toward), concept_row(hrv, away)
    factors = adjusting_factors(wanted.values, unwanted.values, gain=gain, loss=loss, clamp=clamp)
    contrast = abs(wanted - unwanted).assign_attrs(hrv.attrs)
    return _edit(contrast, factors, word, top, layers, window, allow_other_model)


def concept_row(hrv: xr.DataArray, concept: str) -> xr.DataArray:
    """Give one concept's vector.

    Raises
    ------
    ConceptError
        If there is no such concept.
    """
    names = [str(name) for name in hrv["concept"].values]
    if concept not in names:
        raise ConceptError(f"there is no concept {concept!r}; there are: {', '.join(names)}")
    return hrv.isel(concept=names.index(concept), drop=True)


def _edit(
    importance: xr.DataArray,
    factors: HeadFactors,
    word: str | Sequence[str],
    top: int | None,
    layers: Sequence[int] | None,
    window: tuple[int, int | None],
    allow_other_model: bool,
) -> Rescale:
    """Restrict factors to the chosen heads and bind them to the vectors' model."""
    chosen = np.ones(importance.sizes["head_position"], bool)
    if top is not None:
        chosen[rank(importance).values[max(top, 0) :]] = False
    if layers is not None:
        chosen &= np.isin(importance["layer"].values, layers)
    if not chosen.any():
        raise ParameterError(
            f"top={top} and layers={layers} leave no head to act on; "
            f"layers go from 0 to {importance['layer'].values.max()}"
        )
    model = None if allow_other_model else importance.attrs.get("model_fingerprint")
    return Rescale(np.where(chosen, factors, 1.0), word, window, model)
