"""The cross-attention heads of a denoiser, in the published order and with the published labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.models.families import STABLE_DIFFUSION, find_family_of_denoiser

if TYPE_CHECKING:
    from torch import nn

    from hrvlab.models.layers import Layer


def cross_attention_layers(denoiser: nn.Module) -> list[Layer]:
    """List the cross-attention layers of a denoiser in forward order.

    Raises
    ------
    ModelError
        If the model has none that hrvlab can read.
    """
    own = unwrap_module(denoiser)
    family = find_family_of_denoiser([cls.__name__ for cls in type(own).__mro__])
    return (family or STABLE_DIFFUSION).layers(own)


def head_table(denoiser: nn.Module) -> xr.Dataset:
    """Tabulate every head position of a model, in the published order.

    Head positions are ordered by block (down, mid, up; or double, single), then by layer in forward
    order, then by head (``head_index`` of the arrays published with arXiv 2412.02237).

    Parameters
    ----------
    denoiser : torch.nn.Module
        A pipeline's ``unet`` or ``transformer``.

    Returns
    -------
    xarray.Dataset
        Coordinates along the dim ``head_position``: ``block`` (``"down"``, ``"mid"``, ``"up"``; in
        transformers ``"cross"``, or ``"double"`` and ``"single"``), ``block_layer`` (the layer's
        number within the block), ``layer`` (its number within the model), ``head``, ``module`` (its
        path within the denoiser), ``grid`` (height of the layer's grid at the model's default size)
        and ``label``, such as ``"down, layer: 0, head: 3"``.

    Raises
    ------
    ModelError
        If the model has no cross-attention layers.

    Examples
    --------
    >>> heads = hl.head_table(pipe.unet)
    >>> dict(heads.sizes)
    {'head_position': 128}
    >>> print(heads["label"].values[3])
    down, layer: 0, head: 3
    """
    layers = cross_attention_layers(denoiser)
    rows = [(layer, head) for layer in layers for head in range(layer.heads)]
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
