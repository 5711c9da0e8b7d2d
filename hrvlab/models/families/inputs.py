"""What a denoiser is given in a call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn


class CallInputs(NamedTuple):
    """What a denoiser is given in one call.

    Parameters
    ----------
    sample : Tensor, shape (row, channel, height, width)
    timestep : Tensor or number
    states : Tensor, shape (row, token, dim)
        Text states.
    key_bias : Tensor or None, shape (row, token)
        Added to the attention scores of every column; None: no column is masked.
    positions : Tensor or None, shape (position, axis)
        Where packed latents stand: their row is on the second axis.
    columns : int or None
        How many text columns there are among the keys, also if the denoiser adds some; None: as
        many as text states.
    pixels : int or None
        How many positions are the image's, if the denoiser adds others to them.
    lengths : tuple of int or None
        How many text columns each row has, if not all have as many; the image follows them.
    is_step : bool
        Whether a step's noise is predicted; False: by a model that is perturbed for guidance, in a
        call beside that.
    """

    sample: Tensor
    timestep: Any
    states: Tensor
    key_bias: Tensor | None
    positions: Tensor | None = None
    columns: int | None = None
    pixels: int | None = None
    lengths: tuple[int, ...] | None = None
    is_step: bool = True


def all_given(
    denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a denoiser is given in a call, all by name."""
    given = dict(kwargs)
    if args:
        _, *names = inspect.signature(type(denoiser).forward).parameters
        given |= dict(zip(names, args, strict=False))
    return given


def channels_of(states: Tensor, of_encoders: Sequence[Tensor], number: int) -> Tensor:
    """Return the channels of joined text states that one of the encoders contributed."""
    widths = [own.shape[-1] for own in of_encoders]
    if sum(widths) != states.shape[-1]:
        return states[..., :0]
    first = sum(widths[:number])
    return states[..., first : first + widths[number]]
