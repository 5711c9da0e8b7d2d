"""The cross-attention heads of a UNet, in the published order and with the published labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from diffusers.models.attention_processor import Attention
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ModelError

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

BLOCKS = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
ORDER = ("down", "mid", "up")


@dataclass(frozen=True)
class Layer:
    """A cross-attention layer.

    Parameters
    ----------
    index : int
        Its number in forward order (down, mid, up).
    block : {"down", "mid", "up"}
    block_layer : int
        Its number within the block.
    module : str
        Path of the module within the UNet.
    heads : int
    grid : int
        Height of the layer's grid at the model's default size.
    downscale : int
        Factor by which its grid is smaller than the latents.
    start : int
        Head position of its first head.
    """

    index: int
    block: str
    block_layer: int
    module: str
    heads: int
    grid: int
    downscale: int
    start: int

    @property
    def head_positions(self) -> slice:
        """The head positions of this layer's heads."""
        return slice(self.start, self.start + self.heads)


def cross_attention_layers(unet: UNet2DConditionModel) -> list[Layer]:
    """List the cross-attention layers of a UNet in forward order.

    Raises
    ------
    ModelError
        If the model has no cross-attention layers in its down, mid and up blocks.
    """
    height, _ = default_size(unet)
    found: dict[str, list[tuple[str, int, int]]] = {block: [] for block in ORDER}
    for name, module in unwrap_module(unet).named_modules():
        first = name.split(".", 1)[0]
        if first in BLOCKS and name.endswith(".attn2") and isinstance(module, Attention):
            found[BLOCKS[first]].append((name, module.heads, _downscale(unet, name)))
    layers: list[Layer] = []
    start = 0
    for block in ORDER:
        for block_layer, (name, heads, by) in enumerate(found[block]):
            grid = height // by
            layers.append(Layer(len(layers), block, block_layer, name, heads, grid, by, start))
            start += heads
    if not layers:
        raise ModelError(
            f"{type(unet).__name__} has no cross-attention layers (attn2) in its down, mid and up "
            "blocks; hrvlab supports UNets of the Stable Diffusion kind"
        )
    return layers


def default_size(unet: UNet2DConditionModel) -> tuple[int, int]:
    """Return height and width of the latents that a model was trained for."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _downscale(unet: UNet2DConditionModel, name: str) -> int:
    """Compute the factor by which a layer's grid is smaller than the latents.

    Each down block but the last halves the grid; the up blocks mirror them.
    """
    deepest = len(unet.config.down_block_types) - 1
    block = re.match(r"(down|up)_blocks\.(\d+)\.", name)
    if block is None:
        depth = deepest
    else:
        number = int(block[2])
        depth = number if block[1] == "down" else deepest - number
    return int(2**depth)


def head_table(unet: UNet2DConditionModel) -> xr.Dataset:
    """Tabulate every head position of a model, in the published order.

    Head positions are ordered by block (down, mid, up), then by layer in forward order, then by
    head (``head_index`` of the arrays published with arXiv 2412.02237).

    Parameters
    ----------
    unet : diffusers.UNet2DConditionModel

    Returns
    -------
    xarray.Dataset
        Coordinates along the dim ``head_position``: ``block`` (``"down"``, ``"mid"`` or ``"up"``),
        ``block_layer`` (the layer's number within the block), ``layer`` (its number within the
        model), ``head``, ``module`` (its path within the UNet), ``grid`` (height of the
        layer's grid at the model's default size) and ``label``, such as ``"down, layer: 0, head:
        3"``.

    Raises
    ------
    ModelError
        If the UNet has no cross-attention layers.

    Examples
    --------
    >>> heads = hl.head_table(pipe.unet)
    >>> dict(heads.sizes)
    {'head_position': 128}
    >>> print(heads["label"].values[3])
    down, layer: 0, head: 3
    """
    rows = [(layer, head) for layer in cross_attention_layers(unet) for head in range(layer.heads)]
    columns = {
        "block": [layer.block for layer, _ in rows],
        "block_layer": [layer.block_layer for layer, _ in rows],
        "layer": [layer.index for layer, _ in rows],
        "head": [head for _, head in rows],
        "module": [layer.module for layer, _ in rows],
        "grid": [layer.grid for layer, _ in rows],
        "label": [f"{a.block}, layer: {a.block_layer}, head: {head}" for a, head in rows],
    }
    coords = {name: ("head_position", np.array(values)) for name, values in columns.items()}
    return xr.Dataset(coords={"head_position": np.arange(len(rows)), **coords})
