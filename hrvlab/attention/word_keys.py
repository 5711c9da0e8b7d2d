"""Keys of words, projected like the prompt's by the cross-attention of layers that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import embedding

from hrvlab.errors import ModelError

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

    from hrvlab.models.layers import Layer

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class WordKeys:
    """The words' keys in several layers, times the scale of the attention scores.

    They are projected within the denoiser's call, as a LoRA's strength may be given with the call,
    and anew when it changes.

    Parameters
    ----------
    modules : sequence of Attention
        With keys of one width.
    layers : sequence of Layer
        Their layers.
    states : Tensor, shape (row, dim)
        Text states.
    through : sequence of torch.nn.Module
        Parts of the denoiser that text states pass before the layers' own projections; of a list,
        each layer has one.
    """

    def __init__(
        self,
        modules: Sequence[Attention],
        layers: Sequence[Layer],
        states: Tensor,
        through: Sequence[nn.Module] = (),
    ) -> None:
        self._modules, self._layers = modules, layers
        self._states = states
        # What text states pass until they are keys.
        self._paths: list[list[nn.Module]] = [
            [
                *(own[layer.index] if isinstance(own, nn.ModuleList) else own for own in through),
                module.to_k,
                *([module.get_submodule(layer.key)] if layer.normed else []),
            ]
            for module, layer in zip(modules, layers, strict=True)
        ]
        # The projections that a LoRA wraps; in every call, to ask the others takes its time.
        self._wrapped = [
            [part for one in path for part in one.modules() if hasattr(part, "scaling")]
            for path in self._paths
        ]
        self._strengths: dict[int, object] = {}

    def outdated(self, number: int) -> bool:
        """Return whether a layer's keys must be projected before they are read."""
        if number not in self._strengths:
            return True
        wrapped = self._wrapped[number]
        return bool(wrapped) and list(map(lora_strength, wrapped)) != self._strengths[number]

    def project(self, number: int, device: torch.device) -> None:
        """Project a layer's keys in full precision."""
        module, layer = self._modules[number], self._layers[number]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            states = self._states
            for part in self._paths[number]:
                if part is self._paths[number][-1] and layer.normed and layer.of_heads:
                    states = states.unflatten(-1, (layer.heads, -1))
                states = pass_through(part, states, device)
            if layer.key_heads is not None:
                states = states.unflatten(-1, (layer.key_heads, -1))
                states = states.repeat_interleave(layer.heads // layer.key_heads, dim=1)
            keys = states.float().reshape(len(states), -1) * module.scale
        if not self._strengths:
            self._keys = torch.empty(len(self._modules), *keys.shape, device=device)
            self._first_rows = torch.arange(len(self._modules), device=device) * len(keys)
        self._keys[number] = keys
        self._strengths[number] = list(map(lora_strength, self._wrapped[number]))

    def read(self, layers: slice, rows: Tensor) -> Tensor:
        """Return rows of layers' keys.

        Parameters
        ----------
        layers : slice
        rows : Tensor of int64, shape (call, layer, sample, column)

        Returns
        -------
        Tensor of float32, shape (call, layer, sample, column, dim)
            ``dim`` of all heads.
        """
        rows = rows + self._first_rows[layers, None, None]
        return embedding(rows, self._keys.flatten(0, 1))


def lora_strength(projection: Any) -> object:
    """Return what a projection that a LoRA wraps depends on, besides its weights."""
    return (
        [(name, projection.scaling.get(name)) for name in projection.active_adapters],
        projection.disable_adapters,
        list(projection.merged_adapters),
    )


def pass_through(part: Any, states: Tensor, device: torch.device) -> Tensor:
    """Pass states through a module as the denoiser does; weights may wait elsewhere.

    Its hooks are not called: a projection may be within one of its own.

    Parameters
    ----------
    part : torch.nn.Module
    states : Tensor, shape (row, dim)
    device : torch.device

    Returns
    -------
    Tensor, shape (row, channel)
        In the dtype of the module.
    """
    passed: Tensor = part.forward(states.to(device, _dtype(part, states)))
    return passed


def _dtype(part: Any, states: Tensor) -> torch.dtype:
    """Return the dtype in which a module takes its input, also if its weights are quantized."""
    own = getattr(part, "base_layer", part)
    weight = own.weight if hasattr(own, "weight") else next(own.parameters(), states)
    dtype: object = getattr(weight, "dtype", None)
    if isinstance(dtype, torch.dtype) and dtype in FLOATS:
        return dtype
    if dtype is None:
        raise ModelError(
            f"a projection of keys is a {type(own).__name__}, whose weights cannot be read; load "
            "the model without this quantization"
        )
    # Weights of a few bits, which the layer itself turns into floats.
    return getattr(own, "compute_dtype", None) or states.dtype
