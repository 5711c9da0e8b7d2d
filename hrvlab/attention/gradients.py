"""Cross-attention maps that gradients flow through, computed from queries and keys that hooks keep.

Only the maps that are needed are materialized; the model itself keeps its fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from hrvlab.attention.taps import attention_map
from hrvlab.errors import ParameterError
from hrvlab.typing import Key, Query

if TYPE_CHECKING:
    from torch import nn

    from hrvlab.models.layers import Layer

QueriesAndKeys = dict[int, tuple[Query, Key]]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Turn off the gradients of a module's parameters within a block, and restore them after it."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def queries_and_keys(denoiser: nn.Module, layers: Sequence[Layer]) -> Iterator[QueriesAndKeys]:
    """Keep the queries and keys of one pass within a block, with their gradients.

    Parameters
    ----------
    denoiser : torch.nn.Module
    layers : sequence of Layer
        The layers whose queries and keys are kept.

    Yields
    ------
    dict of int to tuple of Tensor, shapes (sample, head, position or token, dim)
        Keyed by the layer's index; filled when the block ends.
    """
    found: QueriesAndKeys = {}
    projected: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        projected[name] = output

    with ExitStack() as hooks:
        for layer in layers:
            for name in (f"{layer.module}.to_q", f"{layer.module}.to_k"):
                handle = denoiser.get_submodule(name).register_forward_hook(partial(keep, name))
                hooks.callback(handle.remove)
        yield found
    for layer in layers:
        query, key = (
            projected[f"{layer.module}.{name}"].unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for name in ("to_q", "to_k")
        )
        found[layer.index] = query, key


def blended_maps(
    found: QueriesAndKeys,
    layers: Sequence[Layer],
    scales: Sequence[float],
    grids: Sequence[tuple[int, int]],
    factors: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Add up the maps of all heads of some layers at one size, each times its factor.

    Parameters
    ----------
    found : dict
        From `queries_and_keys`.
    layers : sequence of Layer
    scales : sequence of float
        Each layer's scale of attention scores.
    grids : sequence of tuple of int
        Height and width of each layer's grid.
    factors : Tensor, shape (word, head_position)
    size : tuple of int
        Height and width of the result.

    Returns
    -------
    Tensor of float32, shape (sample, word, token, y, x)
        Divided by the number of heads, so that factors of 1 yield the mean.
    """
    total: Tensor | int = 0
    for layer, scale, grid in zip(layers, scales, grids, strict=True):
        maps = attention_map(*found[layer.index], scale)
        own = factors[:, layer.head_positions].to(maps)
        # Resizing is linear, so that it may come after the sum over heads.
        summed = torch.einsum("shpt,wh->swtp", maps, own).unflatten(-1, grid)
        total = total + resize(summed, size)
    assert isinstance(total, Tensor)
    return total / sum(layer.heads for layer in layers)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps by bicubic interpolation; blur them first if they shrink.

    If they shrink by a factor n, the blur's kernel size is n + 1 and its standard deviation
    0.3 (n / 2 − 1) + 0.8, as in the code of arXiv 2412.02237.

    Parameters
    ----------
    maps : Tensor, shape (..., y, x)
    size : tuple of int
        Height and width of the result.

    Returns
    -------
    Tensor, shape (..., y, x)

    Raises
    ------
    ParameterError
        If the maps are too small to be blurred.
    """
    flat = maps.flatten(0, -3)[:, None]
    shrink = maps.shape[-2] / size[0]
    if shrink > 1:
        kernel_size = 2 * max(round(shrink / 2), 1) + 1
        flat = blur(flat, kernel_size, 0.3 * ((kernel_size - 1) / 2 - 1) + 0.8)
    if flat.shape[-2:] != size:
        flat = interpolate(flat, size, mode="bicubic", align_corners=False)
    return flat.reshape(*maps.shape[:-2], *size)


def blur(maps: Tensor, kernel_size: int, deviation: float) -> Tensor:
    """Blur maps by a Gaussian kernel, with reflected edges.

    Parameters
    ----------
    maps : Tensor, shape (n, 1, y, x)
    kernel_size : int
        Side of the kernel, in positions; odd.
    deviation : float
        Standard deviation of the Gaussian, in positions.

    Returns
    -------
    Tensor, shape (n, 1, y, x)

    Raises
    ------
    ParameterError
        If the maps are too small for their edges to be reflected.
    """
    edge = kernel_size // 2
    if min(maps.shape[-2:]) <= edge:
        raise ParameterError(
            f"maps of {maps.shape[-2]} × {maps.shape[-1]} are too small for a blur with a kernel "
            f"of {kernel_size} × {kernel_size}; use maps with a larger share of the latents' side"
        )
    steps = torch.arange(-edge, edge + 1, dtype=maps.dtype, device=maps.device) / deviation
    kernel = torch.exp(-(steps**2) / 2)
    kernel = kernel[:, None] * kernel
    return conv2d(pad(maps, (edge,) * 4, mode="reflect"), (kernel / kernel.sum())[None, None])


def word_shares(maps: Tensor, words: Tensor, *, sharpness: float, leave_out_last: bool) -> Tensor:
    """Compute the share of the sharpened attention that each word's tokens have at every position.

    Parameters
    ----------
    maps : Tensor, shape (sample, word, token, y, x)
        Each word's own blend of heads.
    words : Tensor of bool, shape (word, token)
        The columns of each word.
    sharpness : float
        Multiplies the attention before the softmax over columns.
    leave_out_last : bool
        Exclude the last column from the softmax; the start token is always excluded.

    Returns
    -------
    Tensor, shape (sample, word, y, x)
    """
    columns = slice(1, -1 if leave_out_last else None)
    shares = torch.softmax(sharpness * maps[:, :, columns], dim=2)
    return torch.einsum("swtyx,wt->swyx", shares, words[:, columns].to(shares))
