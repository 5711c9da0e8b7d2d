"""Cross-attention maps that gradients flow through, read from queries and keys by hooks.

Only the maps asked for are written out; the model itself keeps its fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from hrvlab.attention.taps import attention_map
from hrvlab.errors import ParameterError
from hrvlab.models.heads import Layer
from hrvlab.typing import Key, Query

Attended = dict[int, tuple[Query, Key]]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let no parameter of a module need a gradient, and give each its flag back."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def attended(unet: nn.Module, layers: Sequence[Layer]) -> Iterator[Attended]:
    """Keep the queries and keys of one pass, with their gradients.

    Yields
    ------
    dict of int to tuple of Tensor, shapes (sample, head, position or token, dim)
        Filled by the pass; keyed by the layer's index.
    """
    found: Attended = {}
    projected: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        projected[name] = output

    with ExitStack() as hooks:
        for layer in layers:
            for name in (f"{layer.module}.to_q", f"{layer.module}.to_k"):
                handle = unet.get_submodule(name).register_forward_hook(partial(keep, name))
                hooks.callback(handle.remove)
        yield found
    for layer in layers:
        query, key = (
            projected[f"{layer.module}.{name}"].unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for name in ("to_q", "to_k")
        )
        found[layer.index] = query, key


def blended_maps(
    read: Attended,
    layers: Sequence[Layer],
    scales: Sequence[float],
    grids: Sequence[tuple[int, int]],
    factors: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Add up the maps of all heads of some layers at one size, each times its factor.

    Parameters
    ----------
    read : dict
        From `attended`.
    layers : sequence of Layer
    scales : sequence of float
        Of each layer's scores.
    grids : sequence of tuple of int
        Height and width of each layer's grid.
    factors : Tensor, shape (word, head_position)
    size : tuple of int
        Height and width of the result.

    Returns
    -------
    Tensor of float32, shape (sample, word, token, y, x)
        Divided by the number of heads, so that factors of 1 give the mean.
    """
    total: Tensor | int = 0
    for layer, scale, grid in zip(layers, scales, grids, strict=True):
        maps = attention_map(*read[layer.index], scale)
        own = factors[:, layer.head_positions].to(maps)
        # Resizing is linear, so that it may come after the sum over heads.
        summed = torch.einsum("shpt,wh->swtp", maps, own).unflatten(-1, grid)
        total = total + resize(summed, size)
    assert isinstance(total, Tensor)
    return total / sum(layer.heads for layer in layers)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps (..., y, x) to another size: bicubic, blurred first where they shrink.

    Where they shrink by a factor n the kernel has n + 1 places and the standard deviation
    0.3 (n / 2 − 1) + 0.8, as in the code of arXiv 2412.02237.
    """
    flat = maps.flatten(0, -3)[:, None]
    shrink = maps.shape[-2] / size[0]
    if shrink > 1:
        places = 2 * max(round(shrink / 2), 1) + 1
        flat = blur(flat, places, 0.3 * ((places - 1) / 2 - 1) + 0.8)
    if flat.shape[-2:] != size:
        flat = interpolate(flat, size, mode="bicubic", align_corners=False)
    return flat.reshape(*maps.shape[:-2], *size)


def blur(maps: Tensor, places: int, deviation: float) -> Tensor:
    """Blur maps (n, 1, y, x) by a Gaussian kernel of so many places a side, edges reflected.

    Raises
    ------
    ParameterError
        If the maps are too small to be reflected.
    """
    edge = places // 2
    if min(maps.shape[-2:]) <= edge:
        raise ParameterError(
            f"maps of {maps.shape[-2]} × {maps.shape[-1]} are too small to be smoothed over "
            f"{places} × {places} places; read them at a larger share of the latents' side"
        )
    steps = torch.arange(-edge, edge + 1, dtype=maps.dtype, device=maps.device) / deviation
    kernel = torch.exp(-(steps**2) / 2)
    kernel = kernel[:, None] * kernel
    return conv2d(pad(maps, (edge,) * 4, mode="reflect"), (kernel / kernel.sum())[None, None])


def word_shares(maps: Tensor, words: Tensor, *, sharpness: float, leave_out_last: bool) -> Tensor:
    """Say at every place which share of the sharpened attention a word's tokens have.

    Parameters
    ----------
    maps : Tensor, shape (sample, word, token, y, x)
        Each word's own blend of heads.
    words : Tensor of bool, shape (word, token)
        The columns of each word.
    sharpness : float
        What attention is multiplied with before the softmax over columns.
    leave_out_last : bool
        The last column takes no part, and neither does the start token in any case.

    Returns
    -------
    Tensor, shape (sample, word, y, x)
    """
    columns = slice(1, -1 if leave_out_last else None)
    shares = torch.softmax(sharpness * maps[:, :, columns], dim=2)
    return torch.einsum("swtyx,wt->swyx", shares, words[:, columns].to(shares))
