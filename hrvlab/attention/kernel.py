"""Joint attention, in which image positions attend to words and image in one softmax.

A map of all positions by all keys is never made. The kernel that computes the attention knows the
log of every softmax's denominator; with it, the map of any text column follows from its own scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from hrvlab.typing import Key, Probabilities, Query

AT_ONCE = 2**24  # numbers of a map that are held at a time
Returned = tuple[Tensor, Tensor]


def _on_cpu(
    query: Query, key: Key, value: Tensor, bias: Tensor | None, scale: float | None
) -> Returned:
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output, log_sum = kernel(query, key, value, 0.0, False, attn_mask=bias, scale=scale)
    return output, log_sum


def _flash(
    query: Query, key: Key, value: Tensor, bias: Tensor | None, scale: float | None
) -> Returned:
    if bias is not None:
        raise RuntimeError("it takes no bias")
    kernel = torch.ops.aten._scaled_dot_product_flash_attention
    output, log_sum, *_ = kernel(query, key, value, 0.0, False, False, scale=scale)
    return output, log_sum


def _efficient(
    query: Query, key: Key, value: Tensor, bias: Tensor | None, scale: float | None
) -> Returned:
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    output, log_sum, *_ = kernel(query, key, value, bias, True, scale=scale)
    return output, log_sum[:, :, : query.shape[2]]  # it pads positions


def _cudnn(
    query: Query, key: Key, value: Tensor, bias: Tensor | None, scale: float | None
) -> Returned:
    kernel = torch.ops.aten._scaled_dot_product_cudnn_attention
    output, log_sum, *_ = kernel(query, key, value, bias, True, scale=scale)
    return output, log_sum.reshape(query.shape[:3])


FLASH, EFFICIENT, CUDNN = (
    backend.value
    for backend in (
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.CUDNN_ATTENTION,
    )
)
# They are no public functions of PyTorch, so that their results are compared before they are taken.
KERNELS: dict[str, dict[int, Callable[..., Returned]]] = {
    "cpu": {FLASH: _on_cpu},
    "cuda": {FLASH: _flash, EFFICIENT: _efficient, CUDNN: _cudnn},
}
ONE, SOME = slice(0, 1), slice(0, 64)  # row and head, and positions, that are compared
ROUNDING = 0.02  # of scores in half precision


class Kernel:
    """Attention as PyTorch computes it, with the log of the denominator of every softmax."""

    def __init__(self) -> None:
        self._sound: dict[tuple[object, ...], bool] = {}

    def attend(
        self, query: Query, key: Key, value: Tensor, bias: Tensor | None, scale: float | None
    ) -> tuple[Tensor, Tensor]:
        """Compute attention, bit for bit as PyTorch's own function does.

        Parameters
        ----------
        query : Tensor, shape (row, head, position, dim)
        key, value : Tensor, shape (row, head, token, dim)
        bias : Tensor or None, shape (row, 1 or head, 1 or position, token)
            Added to the scores; of type bool: whether a column takes part.
        scale : float or None
            Of the scores, before the softmax; None: PyTorch's own, which rounds as no other does.

        Returns
        -------
        output : Tensor, shape (row, head, position, dim)
        log_sum : Tensor, shape (row, head, position)
        """
        given = (query, key, value, bias)
        # Devices without such kernels cannot be asked for their backend.
        backend = _backend(*given, scale) if query.device.type in KERNELS else None
        if backend is not None and (kernel := KERNELS[query.device.type].get(backend)):
            kind = (
                backend,
                query.dtype,
                *((part.shape, part.stride()) for part in given[:3]),
                None if bias is None else bias.dtype,
            )
            if kind not in self._sound:
                self._sound[kind] = _is_sound(kernel, backend, *given, scale)
            if self._sound[kind]:
                return kernel(*given, scale)
        output = scaled_dot_product_attention(*given, scale=scale)
        return output, log_sum_exp(query, key, bias, score_scale(query, scale))


def _backend(
    query: Query, key: Key, value: Tensor, bias: Tensor | None, scale: float | None
) -> int:
    """Return the number of the backend that PyTorch's own function takes."""
    return int(torch._fused_sdp_choice(query, key, value, bias, scale=scale))


def _is_sound(
    kernel: Callable[..., Returned],
    backend: int,
    query: Query,
    key: Key,
    value: Tensor,
    bias: Tensor | None,
    scale: float | None,
) -> bool:
    """Compare a kernel with PyTorch's own function, on a part that costs next to nothing."""
    if bias is not None and not bias.is_floating_point():
        return False
    own = None if bias is None else part_of(bias[ONE, ONE], SOME)
    part = (query[ONE, ONE, SOME], key[ONE, ONE], value[ONE, ONE], own)
    if _backend(*part, scale) != backend:
        return False
    plain = scaled_dot_product_attention(*part, scale=scale)
    expected = log_sum_exp(*part[:2], own, score_scale(query, scale))
    try:
        output, log_sum = kernel(*part, scale)
    except (RuntimeError, NotImplementedError):  # it does not take such tensors
        return False
    near = torch.allclose(log_sum.to(expected), expected, ROUNDING, ROUNDING)
    return torch.equal(output, plain) and near


def score_scale(query: Query, scale: float | None) -> float:
    """Return the scale of attention scores; None stands for PyTorch's own."""
    return 1 / math.sqrt(query.shape[-1]) if scale is None else scale


def log_sum_exp(query: Query, key: Key, bias: Tensor | None, scale: float) -> Tensor:
    """Compute the log of the denominator of every softmax, some positions at a time.

    Parameters
    ----------
    query, key, bias, scale
        With a number for the scale. See `Kernel.attend`.

    Returns
    -------
    Tensor of float32, or of float64 for such queries, shape (row, head, position)
    """
    positions = query.shape[2]
    step = max(1, AT_ONCE // (query[:, :, 0, 0].numel() * key.shape[2]))
    return torch.cat(
        [
            _scores(query, key, bias, scale, slice(first, first + step)).logsumexp(dim=-1)
            for first in range(0, positions, step)
        ],
        dim=2,
    )


def _scores(query: Query, key: Key, bias: Tensor | None, scale: float, positions: slice) -> Tensor:
    """Compute the scores of some positions, shape (row, head, position, token)."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    # Fewer keys than queries are asked for, where it matters: scaling them costs least.
    scores = torch.matmul(query[:, :, positions].to(dtype), (key.to(dtype) * scale).mT)
    if bias is None:
        return scores
    own = part_of(bias, positions)
    if own.dtype == torch.bool:
        return scores.masked_fill(~own, -torch.inf)
    return scores + own.to(dtype)


def part_of(bias: Tensor, positions: slice) -> Tensor:
    """Return the part of a bias that some queries have."""
    return bias if bias.shape[2] == 1 else bias[:, :, positions]


@dataclass(frozen=True)
class TextSoftmax:
    """What image positions give to text columns in a joint softmax, for the conditional rows.

    Parameters
    ----------
    query : Tensor, shape (sample, head, position, dim)
        Of the positions of the image.
    key : Tensor, shape (sample, head, token, dim)
        Of the text columns.
    scale : float
    bias : Tensor or None, shape (sample, 1 or head, 1 or position, token)
    log_sum : Tensor, shape (sample, head, position)
        Log of the denominator, over text and image.
    """

    query: Query
    key: Key
    scale: float
    bias: Tensor | None
    log_sum: Tensor

    def maps(self, columns: slice | Tensor, positions: slice = slice(None)) -> Probabilities:
        """Compute the maps of some columns.

        Returns
        -------
        Tensor of float32, shape (sample, head, position, token)
            Rows sum to less than 1: the image has the rest.
        """
        bias = None if self.bias is None else self.bias[..., columns]
        scores = _scores(self.query, self.key[:, :, columns], bias, self.scale, positions)
        return (scores - self.log_sum[:, :, positions, None]).exp().float()

    def means(self) -> Tensor:
        """Compute the mean over positions of the maps of all columns.

        Returns
        -------
        Tensor of float32, shape (sample, head, token)
        """
        positions, columns = self.query.shape[2], slice(None)
        step = max(1, AT_ONCE // (self.query[:, :, 0, 0].numel() * self.key.shape[2]))
        total = torch.zeros_like(self.key[..., 0], dtype=torch.float32)
        for first in range(0, positions, step):
            total += self.maps(columns, slice(first, first + step)).sum(dim=2)
        return total / positions
