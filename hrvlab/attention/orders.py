"""Rows of a batch whose text has different lengths, with the image right after each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.attention.calls import Call


def row_order(call: Call, keys: int, device: torch.device) -> Tensor:
    """Return the order in which the text of all rows stands first, then padding, then the image.

    Parameters
    ----------
    call : Call
        With its lengths.
    keys : int
        How many keys there are: those of the longest text, and of the image.
    device : torch.device

    Returns
    -------
    Tensor of int64, shape (row, key)
    """
    assert call.lengths is not None
    pixels = keys - max(call.lengths)
    rows = [
        [*range(length), *range(length + pixels, keys), *range(length, length + pixels)]
        for length in call.lengths
    ]
    return torch.tensor(rows).to(device, non_blocking=True)


def in_order(part: Tensor, order: Tensor) -> Tensor:
    """Return queries, keys or values (row, head, position, dim) in an order of their positions."""
    return part.gather(2, order[:, None, :, None].expand_as(part))


def mask_in_order(how: Mapping[str, Any], order: Tensor) -> dict[str, Any]:
    """Return keywords of attention whose mask, if there is one, is in an order of the keys."""
    mask = how.get("attn_mask")
    return (
        dict(how) if mask is None else {**how, "attn_mask": mask.gather(-1, order[:, None, None])}
    )
