"""Concept strengthening and concept adjusting: a word's attention, rescaled by relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.attention import Rescale
from hrvlab.errors import ParameterError
from hrvlab.relevance.vectors import concept_vector, rank

if TYPE_CHECKING:
    from hrvlab.typing import HeadFactors


def strengthening_factors(
    relevance: NDArray[np.floating], strength: float | Sequence[float]
) -> HeadFactors:
    """Compute head factors from a concept's relevance: ``1 + strength (relevance − 1)``.

    Parameters
    ----------
    relevance : ndarray of float, shape (head_position,)
    strength : float or sequence of float
        0 changes nothing, 1 multiplies by the relevance itself; a sequence has one for each prompt.

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
    """Compute head factors from two concepts' relevance: ``gain · toward − loss · away``.

    Parameters
    ----------
    toward, away : ndarray of float, shape (head_position,)
        Relevance of the wanted and of the unwanted concept.
    gain, loss : float
        Without a clamp, the factors average ``gain − loss``.
    clamp : float, optional
        Relevance above it is reduced to it, in both vectors; advisable for models of many heads.

    Returns
    -------
    ndarray of float64, shape (head_position,)
        Some factors are usually negative.

    Raises
    ------
    ParameterError
        If the gain or the loss is not finite.
    """
    if not np.isfinite([gain, loss]).all():
        raise ParameterError(f"gain is {gain} and loss is {loss}; give finite numbers")
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
    """Build an edit that strengthens a concept in a word.

    The attention to the word increases in the concept's relevant heads and decreases in the others.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str
    word : str or sequence of str
        A word or phrase of the prompt, or several.
    strength : float or sequence of float
        0 changes nothing, 1 is the published method; a sequence has one for each prompt.
    top : int, optional
        Number of the most relevant heads, to which the edit is restricted.
    layers : sequence of int, optional
        Numbers of the layers, in forward order, to which the edit is restricted.
    window : tuple of int or None
        First denoiser call and past-the-last denoiser call of the edit; None: to the end.
    allow_other_model : bool
        Use vectors that were built from another model.

    Returns
    -------
    Rescale
        An edit for `generate` and `attach`.

    Raises
    ------
    ConceptError
        If the vectors have no such concept.
    ParameterError
        If no head is left.

    Notes
    -----
    Concept strengthening: Section 5 of arXiv 2412.02237, with a strength of 1.

    Examples
    --------
    >>> edit = hl.strengthen(hrv, "Color", "red", top=10)
    >>> int((edit.factors != 1).sum())
    10
    >>> hl.generate(pipe, "a red car", edit=edit, num_inference_steps=2).shape
    (1, 64, 64, 3)
    """
    row = concept_vector(hrv, concept)
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
    """Build an edit that adjusts a word from an unwanted concept toward a wanted one.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    toward, away : str
        The wanted and the unwanted concept.
    word : str or sequence of str
        A word or phrase of the prompt, or several.
    gain, loss, clamp : float
        See `hrvlab.methods.steering.adjusting_factors`.
    top : int, optional
        Number of the heads in which the two concepts differ most, to which the edit is restricted.
    layers, window, allow_other_model
        See `strengthen`.

    Returns
    -------
    Rescale
        An edit for `generate` and `attach`.

    Raises
    ------
    ConceptError
        If the vectors have no such concept.
    ParameterError
        If no head is left.

    Notes
    -----
    Concept adjusting: Section 5 of arXiv 2412.02237.

    Examples
    --------
    >>> edit = hl.adjust(hrv, toward="Color", away="Animals", word="red")
    >>> round(float(edit.factors.mean()), 6)
    1.0
    >>> hl.generate(pipe, "a red car", edit=edit, num_inference_steps=2).shape
    (1, 64, 64, 3)
    """
    wanted, unwanted = concept_vector(hrv, toward), concept_vector(hrv, away)
    factors = adjusting_factors(wanted.values, unwanted.values, gain=gain, loss=loss, clamp=clamp)
    contrast = abs(wanted - unwanted).assign_attrs(hrv.attrs)
    return _edit(contrast, factors, word, top, layers, window, allow_other_model)


def _edit(
    importance: xr.DataArray,
    factors: HeadFactors,
    word: str | Sequence[str],
    top: int | None,
    layers: Sequence[int] | None,
    window: tuple[int, int | None],
    allow_other_model: bool,
) -> Rescale:
    """Restrict factors to the chosen heads, and bind them to the vectors' model."""
    chosen = np.ones(importance.sizes["head_position"], bool)
    if top is not None:
        chosen[rank(importance).values[max(top, 0) :]] = False
    if layers is not None:
        chosen &= np.isin(importance["layer"].values, layers)
    if not chosen.any():
        raise ParameterError(
            f"top={top} and layers={layers} leave no head to edit; "
            f"layers go from 0 to {importance['layer'].values.max()}"
        )
    model = None if allow_other_model else importance.attrs.get("model_fingerprint")
    return Rescale(np.where(chosen, factors, 1.0), word, window, model)
