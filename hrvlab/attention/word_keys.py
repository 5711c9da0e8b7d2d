"""Keys of words, projected like the prompt's by the cross-attention of layers that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import embedding

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor


class WordKeys:
    """The words' keys in several layers, times the scale of the attention scores.

    They are projected within the denoiser's call, as a LoRA's strength may be given with the call,
    and anew when it changes.

    Parameters
    ----------
    modules : sequence of Attention
        With keys of one width.
    states : Tensor, shape (row, dim)
        Text states.
    """

    def __init__(self, modules: Sequence[Attention], states: Tensor) -> None:
        self._modules = modules
        self._states = states
        # Whether a LoRA wraps the projection; in every call, to ask the others takes its time.
        self._wrapped = [hasattr(module.to_k, "scaling") for module in modules]
        self._strengths: dict[int, object] = {}

    def outdated(self, number: int) -> bool:
        """Return whether a layer's keys must be projected before they are read."""
        if number not in self._strengths:
            return True
        projection = self._modules[number].to_k
        return self._wrapped[number] and lora_strength(projection) != self._strengths[number]

    def project(self, number: int, device: torch.device) -> None:
        """Project a layer's keys in full precision."""
        module = self._modules[number]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            keys = _project(module.to_k, self._states).float() * module.scale
        if not self._strengths:
            self._keys = torch.empty(len(self._modules), *keys.shape, device=device)
            self._first_rows = torch.arange(len(self._modules), device=device) * len(keys)
        self._keys[number] = keys
        wrapped = self._wrapped[number]
        self._strengths[number] = lora_strength(module.to_k) if wrapped else None

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


def _project(projection: Any, states: Tensor) -> Tensor:
    """Project states on the weights' device; offloaded weights (meta) follow the states.

    Hooks are not called: the projection may be within one of its own.
    """
    weight = projection.weight
    return projection.forward(states.to(weight.dtype) if weight.is_meta else states.to(weight))
