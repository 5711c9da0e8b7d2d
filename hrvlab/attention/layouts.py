"""How the rows of a batch are laid out among prompts, from what each of them matches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrvlab.errors import ParameterError


def in_order(matched: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Assign rows to prompts as pipelines lay them out: prompt by prompt, equally many for each.

    Parameters
    ----------
    matched : ndarray of bool, shape (row, prompt)
        Whether a row's text states are a prompt's.

    Returns
    -------
    tuple of int or None
        For each row the number of its prompt; None: the rows are laid out in another way.
    """
    rows, prompts = matched.shape
    expected = np.repeat(np.arange(prompts), rows // prompts)
    if not rows or len(expected) != rows or not matched[np.arange(rows), expected].all():
        return None
    return tuple(expected.tolist())


def choose_rows(matched: NDArray[np.bool_], *, guided: bool) -> slice | None:
    """Choose the rows of a loop of one's own that are conditioned on prompts, by their contents.

    Parameters
    ----------
    matched : ndarray of bool, shape (row, prompt)
        Whether a row's text states are a prompt's.
    guided : bool
        Whether the latents consist of two equal halves, as with classifier-free guidance.

    Returns
    -------
    slice or None
        None: no row is conditional.

    Raises
    ------
    ParameterError
        If the rows are not adjacent, or half of them may be a negative prompt's.
    """
    found = np.flatnonzero(matched.any(axis=1))
    if not len(found):
        return None
    if found[-1] - found[0] + 1 != len(found):
        raise ParameterError(
            f"rows {found.tolist()} of the denoiser's batch are conditioned on the prompts; "
            "give them to the denoiser side by side"
        )
    half = len(matched) // 2
    if guided and len(found) == len(matched) and matched[:half].any(axis=0).all():
        raise ParameterError(
            "both halves of the denoiser's batch have the same latents and the prompts' text "
            "states, and it is not known whether one is the negative prompt's; give another "
            "negative prompt, or other latents"
        )
    return slice(int(found[0]), int(found[-1]) + 1)


def assign_rows(matched: NDArray[np.bool_]) -> tuple[int, ...]:
    """Assign the conditional rows of a loop of one's own to prompts.

    Parameters
    ----------
    matched : ndarray of bool, shape (row, prompt)
        Whether a row's text states are a prompt's; every row's are.

    Returns
    -------
    tuple of int
        For each row the number of its prompt.

    Raises
    ------
    ParameterError
        If the prompts have different numbers of rows, as when one of them is also a negative one.
    """
    if (prompts := in_order(matched)) is not None:
        return prompts
    found = matched.argmax(axis=1)
    counts = np.unique(found, return_counts=True)[1]
    if len({*counts.tolist()}) > 1:
        raise ParameterError(
            f"the rows of the denoiser's batch are those of prompts {found.tolist()}, not equally "
            "many for each; give every prompt as many rows, and another negative prompt"
        )
    return tuple(found.tolist())
