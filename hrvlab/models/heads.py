"""The cross-attention heads of a UNet, in the published order with the published labels."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import xarray as xr
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ModelError

PLACES = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
ORDER = ("down", "mid", "up")


@dataclass(frozen=True)
class Layer:
    """One cross-attention layer.

    Parameters
    ----------
    index : int
        Its number in forward order (down, mid, up).
    place, place_layer : str, int
        ``"down"``, ``"mid"`` or ``"up"``, and its number within that place.
    module : str
        Path of the module within the UNet.
    heads : int
    grid : int
        Side of the layer's square grid at the model's default size.
    start : int
        Head position of its first head.
    """

    index: int
    place: str
    place_layer: int
    module: str
    heads: int
    grid: int
    start: int

    @property
    def head_positions(self) -> slice:
        """Where this layer's heads lie among all head positions."""
        return slice(self.start, self.start + self.heads)


def cross_attention_layers(unet: UNet2DConditionModel) -> list[Layer]:
    """List the cross-attention layers of a UNet in forward order.

    Raises
    ------
    ModelError
        If the model has no cross-attention layers where a UNet of this kind has them.
    """
    found: dict[str, list[tuple[str, int, int]]] = {place: [] for place in ORDER}
    for name, module in unwrap_module(unet).named_modules():
        block = name.split(".", 1)[0]
        if block in PLACES and name.endswith(".attn2") and isinstance(module, Attention):
            found[PLACES[block]].append((name, module.heads, _grid(unet, name)))
    layers: list[Layer] = []
    start = 0
    for place in ORDER:
        for place_layer, (name, heads, grid) in enumerate(found[place]):
            layers.append(Layer(len(layers), place, place_layer, name, heads, grid, start))
            start += heads
    if not layers:
        raise ModelError(
            f"{type(unet).__name__} has no cross-attention layers (attn2) in its down, mid and up "
            "blocks; hrvlab reads UNets of the Stable Diffusion kind"
        )
    return layers


def _grid(unet: UNet2DConditionModel, name: str) -> int:
    """Each down block but the last halves the grid; the up blocks mirror them."""
    deepest = len(unet.config.down_block_types) - 1
    block = re.match(r"(down|up)_blocks\.(\d+)\.", name)
    if block is None:
        depth = deepest
    else:
        number = int(block[2])
        depth = number if block[1] == "down" else deepest - number
    return int(unet.config.sample_size) // 2**depth


def head_table(unet: UNet2DConditionModel) -> xr.Dataset:
    """Describe every head position, in the published order.

    The flat order is place (down, mid, up), then layer in forward order, then head (method of
    arXiv 2412.02237, ``head_index`` of its published arrays).

    Parameters
    ----------
    unet : diffusers.UNet2DConditionModel

    Returns
    -------
    xarray.Dataset
        Dim ``head_position``; coordinates ``place``, ``place_layer``, ``layer``, ``head``,
        ``module``, ``grid`` and ``label``, such as ``"down, layer: 0, head: 3"``.

    Raises
    ------
    ModelError
        If the UNet has no cross-attention layers.
    """
    rows = [(layer, head) for layer in cross_attention_layers(unet) for head in range(layer.heads)]
    columns = {
        "place": [layer.place for layer, _ in rows],
        "place_layer": [layer.place_layer for layer, _ in rows],
        "layer": [layer.index for layer, _ in rows],
        "head": [head for _, head in rows],
        "module": [layer.module for layer, _ in rows],
        "grid": [layer.grid for layer, _ in rows],
        "label": [f"{a.place}, layer: {a.place_layer}, head: {head}" for a, head in rows],
    }
    coords = {name: ("head_position", np.array(values)) for name, values in columns.items()}
    return xr.Dataset(coords={"head_position": np.arange(len(rows)), **coords})
