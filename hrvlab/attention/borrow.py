"""Borrowed attention: some pictures of a batch look where others look.

With the map A of the source and the values V of the borrower, replacing the borrower's map by
``A M`` is attention with the source's queries and keys over the values ``M V``: no map is
materialised. Columns that keep the borrower's own map, rescaled by head, are a second attention
over the values of those columns alone, added before the output projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hrvlab.attention.calls import Call, Hook
from hrvlab.errors import ParameterError
from hrvlab.models.heads import Layer
from hrvlab.typing import Alignment, HeadFactors

SELF_SIDE = 1 / 4


@dataclass(frozen=True)
class Borrow:
    """Give every target picture of a batch the attention of its source picture.

    The pictures lie in pairs: source, target, source, target, …

    Parameters
    ----------
    mappers : sequence of ndarray of float64, shape (source token, target token)
        For each pair, from `hrvlab.models.alignment.align`.
    replaced : sequence of sequence of int
        For each pair, the columns of the target's new words.
    factors : ndarray of float, shape (head_position,), optional
        The new words keep the target's own map, times these. None: they too take the source's.
    cross_calls, self_calls : int
        Number of UNet calls, from the first, in which cross- and self-attention are borrowed.
    self_side : float
        Largest grid of self-attention that is borrowed, as a share of the latents' side.
    model : str, optional
        Fingerprint of the only model that the factors are for; None: any.

    Raises
    ------
    ParameterError
        If there is not a list of columns for every mapper, a factor is not finite, or no call is
        borrowed in.
    """

    mappers: Sequence[Alignment]
    replaced: Sequence[Sequence[int]]
    factors: HeadFactors | None = None
    cross_calls: int = 0
    self_calls: int = 0
    self_side: float = SELF_SIDE
    model: str | None = None

    def __post_init__(self) -> None:
        if not self.mappers or len(self.mappers) != len(self.replaced):
            raise ParameterError(
                f"{len(self.mappers)} mappers need as many lists of columns, and at least one; got "
                f"{len(self.replaced)}"
            )
        if self.factors is not None and not np.isfinite(self.factors).all():
            raise ParameterError("every factor must be a finite number; some are NaN or infinite")
        if max(self.cross_calls, self.self_calls) < 1:
            raise ParameterError("give a number of calls for cross- or for self-attention")


class BoundBorrow:
    """A `Borrow` ready for a model's projections."""

    def __init__(self, edit: Borrow, prompts: int, layers: Sequence[Layer]) -> None:
        if prompts != 2 * len(edit.mappers):
            raise ParameterError(
                f"{prompts} prompts are not the {len(edit.mappers)} pairs of source and target "
                "that the edit was made for"
            )
        positions = sum(layer.heads for layer in layers)
        if edit.factors is not None and len(edit.factors) != positions:
            raise ParameterError(
                f"the edit has factors for {len(edit.factors)} head positions, the model has "
                f"{positions}; use an HRV built on this model"
            )
        self.edit = edit
        own = np.zeros((len(edit.mappers), edit.mappers[0].shape[1]), bool)
        if edit.factors is not None:
            for row, columns in zip(own, edit.replaced, strict=True):
                row[list(columns)] = True
        taken = np.where(own[:, None], 0.0, np.stack(edit.mappers))
        self.own, self.taken = torch.from_numpy(own), torch.from_numpy(taken)
        self._kept: dict[str, Tensor] = {}

    def hooks(self, layer: Layer) -> dict[str, Hook]:
        """Give what to do with the outputs of a transformer block's projections."""
        return {
            "attn1.to_q": self._look_from_source,
            "attn1.to_k": self._look_from_source,
            "attn2.to_q": partial(self._look_as_source, "query"),
            "attn2.to_k": partial(self._look_as_source, "key"),
            "attn2.to_v": self._take_over,
            "attn2.to_out.0": partial(self._add_own, layer),
        }

    def _pairs(self, call: Call, states: Tensor) -> Tensor:
        """View the conditional samples (pair, 2, place, channel) of a layer's states."""
        if call.samples != 2 * len(self.taken):
            raise ParameterError(
                f"{call.samples} images are not {len(self.taken)} pairs; draw one image a prompt"
            )
        return states[call.conditional].unflatten(0, (-1, 2))

    def _look_from_source(self, call: Call, states: Tensor) -> Tensor:
        height, width = call.latent_size
        grid = states.shape[1]
        if call.index >= self.edit.self_calls or grid > height * width * self.edit.self_side**2:
            return states
        edited = states.clone()
        pairs = self._pairs(call, edited)
        pairs[:, 1] = pairs[:, 0]
        return edited

    def _look_as_source(self, name: str, call: Call, states: Tensor) -> Tensor:
        if call.index >= self.edit.cross_calls:
            return states
        edited = states.clone()
        pairs = self._pairs(call, edited)
        self._kept[name] = pairs[:, 1].clone()
        pairs[:, 1] = pairs[:, 0]
        return edited

    def _take_over(self, call: Call, values: Tensor) -> Tensor:
        if call.index >= self.edit.cross_calls:
            return values
        edited = values.clone()
        pairs = self._pairs(call, edited)
        self._kept["value"] = pairs[:, 1].clone()
        pairs[:, 1] = self.taken.to(values) @ pairs[:, 1]
        return edited

    def _add_own(self, layer: Layer, call: Call, mixed: Tensor) -> Tensor:
        if call.index >= self.edit.cross_calls or self.edit.factors is None:
            return mixed
        query, key, value = (
            self._kept.pop(name).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        factors = torch.from_numpy(self.edit.factors[layer.head_positions]).to(value)
        value = value * factors[:, None, None] * self.own[:, None, :, None].to(value)
        own = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)
        edited = mixed.clone()
        self._pairs(call, edited)[:, 1] += own
        return edited
