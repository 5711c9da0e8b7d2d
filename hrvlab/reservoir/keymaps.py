"""How a model's layers turn text states into keys, kept as arrays, so that the model is not needed.

A projection is linear, so that the keys of unit states and of the zero state tell all of it, those
of a LoRA and of quantized weights included; a norm behind it is one of two formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.reservoir.groups import LayerGroup

READ = 2**22  # values of projections that are read together


@dataclass(frozen=True)
class Norm:
    """What stands between a projection of keys and the softmax.

    Parameters
    ----------
    kind : {"none", "rms", "layer"}
        Root mean square, or mean and variance, over the channels of all heads.
    eps : float
    """

    kind: str = "none"
    eps: float = 0.0


def read_norm(module: Any) -> tuple[Norm, Tensor | None, Tensor | None]:
    """Read a norm of keys, with its weight and bias.

    Parameters
    ----------
    module : torch.nn.Module or None

    Raises
    ------
    ModelError
        If it is of another kind.
    """
    if module is None:
        return Norm(), None, None
    kinds = {"RMSNorm": "rms", "LayerNorm": "layer", "FP32LayerNorm": "layer"}
    kind = kinds.get(type(module).__name__)
    if kind is None:
        raise ModelError(
            f"keys pass a {type(module).__name__}, which a pool cannot keep; it keeps RMSNorm and "
            "LayerNorm"
        )
    weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))
    return Norm(kind, float(module.eps or 0.0)), weight, bias


def keys_of(
    states: Tensor,
    projection: Tensor,
    bias: Tensor,
    norm: Norm,
    weights: Tensor,
    scale: float,
) -> Tensor:
    """Compute keys from text states, times the scale of the attention scores.

    Parameters
    ----------
    states : Tensor of float32, shape (row, state)
    projection : Tensor of float32, shape (state, channel)
        ``channel`` of all heads.
    bias : Tensor of float32, shape (channel,)
    norm : Norm
    weights : Tensor of float32, shape (2, channel)
        Weight and bias of the norm.
    scale : float

    Returns
    -------
    Tensor of float32, shape (row, channel)
    """
    keys = torch.addmm(bias, states, projection)
    if norm.kind == "layer":
        keys = keys - keys.mean(dim=-1, keepdim=True)
    if norm.kind != "none":
        mean_square = keys.square().mean(dim=-1, keepdim=True)
        keys = keys * torch.rsqrt(mean_square + norm.eps) * weights[0] + weights[1]
    return keys * scale


def add_maps(data: xr.Dataset, group: LayerGroup, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Add to a pool, in place, how the layers of a group turn text states into keys.

    Parameters
    ----------
    data : xarray.Dataset
    group : LayerGroup
    arrays : mapping of str to ndarray
        ``projection``, shape (layer, state, channel), ``bias``, (layer, channel), and ``norm``,
        (layer, 2, channel); ``channel`` of all heads.
    """
    layer, channel = f"layer_{group.number}", f"key_channel_{group.number}"
    dims = {"projection": ("state",), "bias": (), "norm": ("norm_part",)}
    for name, own in dims.items():
        variable = xr.Variable((layer, *own, channel), arrays[name])
        # Zarr reads and decompresses whole chunks, and keys are computed by so many layers.
        variable.encoding["chunks"] = (_together(group, data), *variable.shape[1:])
        data[f"{name}_{group.number}"] = variable


class KeyMaps:
    """The projections of keys of all layers of a pool.

    Parameters
    ----------
    data : xarray.Dataset
        Of the pool.
    norms : sequence of Norm
        One for each group of layers.
    """

    def __init__(self, data: xr.Dataset, norms: Sequence[Norm]) -> None:
        self._data, self._norms = data, norms
        self._scales = data["scale"].values

    def keys(self, group: LayerGroup, states: NDArray[np.floating]) -> Tensor:
        """Compute the keys of text states in the layers of a group.

        Parameters
        ----------
        group : LayerGroup
        states : ndarray of float, shape (row, state)

        Returns
        -------
        Tensor of float32, shape (layer, head, row, channel)
            Times the scale of the attention scores.
        """
        count, together = len(group.layers), _together(group, self._data)
        keys = torch.empty(count, group.heads, len(states), group.channels)
        for first in range(0, count, together):
            layers = slice(first, min(first + together, count))
            keys[layers] = self._keys(group, layers, states)
        return keys

    def keys_of_layer(self, group: LayerGroup, number: int, states: NDArray[np.floating]) -> Tensor:
        """Compute the keys of text states in one layer of a group.

        Returns
        -------
        Tensor of float32, shape (head, row, channel)
        """
        return self._keys(group, slice(number, number + 1), states)[0]

    def _keys(self, group: LayerGroup, layers: slice, states: NDArray[np.floating]) -> Tensor:
        read = [
            torch.from_numpy(self._data[f"{name}_{group.number}"][layers].values).float()
            for name in ("projection", "bias", "norm")
        ]
        scales = self._scales[list(group.layers[layers])]
        given = torch.from_numpy(np.asarray(states)).float()
        keys = [
            keys_of(given, projection, bias, self._norms[group.number], norm, float(scale))
            for projection, bias, norm, scale in zip(*read, scales, strict=True)
        ]
        return torch.stack(keys).unflatten(-1, (group.heads, group.channels)).transpose(1, 2)


def _together(group: LayerGroup, data: xr.Dataset) -> int:
    """Return of how many layers projections are read together."""
    values = data.sizes["state"] * group.heads * group.channels
    return min(max(1, READ // values), len(group.layers))
