"""Attention injection: target images of a batch are generated with their sources' attention maps.

With the map A of the source and the values V of the target, replacing the target's map by ``A M``
is attention with the source's queries and keys over the values ``M V``: no map is materialized.
Columns that keep the target's own map, rescaled by head, are a second attention over the values of
those columns alone, added before the output projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.attention.calls import Call, Hook
    from hrvlab.models.alignment import Aligned
    from hrvlab.models.layers import Layer
    from hrvlab.typing import HeadFactors

SELF_SIDE = 1 / 4


@dataclass(frozen=True)
class Injection:
    """An edit that injects the attention of each source image of a batch into its target image.

    The images of a batch alternate: source, target, source, target, …

    Parameters
    ----------
    aligned : sequence of Aligned
        One per pair, from `hrvlab.models.alignment.align`.
    factors : ndarray of float, shape (head_position,), optional
        The new words keep the target's own map, times these factors. None: the source's map is
        injected for the new words too; those that were added keep the target's own map as it is.
    cross_share, self_share : float
        Shares of the generation's denoiser calls and of its steps, from the first, in which cross-
        and self-attention are injected.
    self_side : float
        Largest grid of self-attention that is injected, as a share of the latents' side.
    model : str, optional
        Fingerprint of the only model that the factors are valid for; None: any model.

    Raises
    ------
    ParameterError
        If there is no pair, a factor is not finite, or a share is not between 0 and 1.
    """

    aligned: Sequence[Aligned]
    factors: HeadFactors | None = None
    cross_share: float = 0.0
    self_share: float = 0.0
    self_side: float = SELF_SIDE
    model: str | None = None

    def __post_init__(self) -> None:
        if not self.aligned:
            raise ParameterError("there is no pair of prompts; give at least one")
        if self.factors is not None and not np.isfinite(self.factors).all():
            raise ParameterError("every factor must be a finite number; some are NaN or infinite")
        for name in ("cross_share", "self_share"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ParameterError(f"{name} is {share}; give a share of the calls, from 0 to 1")

    def for_pairs(self, indices: Sequence[int]) -> Injection:
        """Return the edit for some of the pairs only."""
        return replace(self, aligned=[self.aligned[index] for index in indices])

    def injected_calls(self, calls: int, steps: int) -> tuple[int, int]:
        """Count the calls, from the first, in which cross- and self-attention are injected.

        Parameters
        ----------
        calls, steps : int
            Of the whole generation.

        Raises
        ------
        ParameterError
            If there is none.
        """
        # As in the published code, which counts the one in calls and the other in steps.
        injected = int(self.cross_share * calls), int(self.self_share * steps)
        if not any(injected):
            raise ParameterError(
                f"cross_share={self.cross_share} and self_share={self.self_share} of {calls} calls "
                "are less than one call; give more steps or larger shares"
            )
        return injected


class BoundInjection:
    """An `Injection` bound to a model's layers.

    Parameters
    ----------
    edit : Injection
    prompts : int
        How many prompts the pipeline is called with.
    layers : sequence of Layer

    Raises
    ------
    ParameterError
        If the edit does not match the number of prompts or the model's heads.
    """

    def __init__(self, edit: Injection, prompts: int, layers: Sequence[Layer]) -> None:
        if prompts != 2 * len(edit.aligned):
            raise ParameterError(
                f"{prompts} prompts are not the {len(edit.aligned)} pairs of source and target "
                "that the edit was made for"
            )
        positions = sum(layer.heads for layer in layers)
        if edit.factors is not None and len(edit.factors) != positions:
            raise ParameterError(
                f"the edit has factors for {len(edit.factors)} head positions, the model has "
                f"{positions}; use an HRV built on this model"
            )
        self.edit = edit
        mappers = np.stack([one.mapper for one in edit.aligned])
        own = np.zeros((len(mappers), mappers.shape[2]), bool)
        for row, one in zip(own, edit.aligned, strict=True):
            row[one.added if edit.factors is None else one.new] = True
        injected = np.where(own[:, None], 0.0, mappers)
        self.own, self.injected = torch.from_numpy(own), torch.from_numpy(injected)
        self._factors = np.ones(positions) if edit.factors is None else edit.factors
        self._target: dict[str, Tensor] = {}
        self._cross_calls = self._self_calls = 0

    def check(self, call: Call) -> None:
        """Check that the batch consists of pairs, and count the calls that are injected."""
        if call.samples != 2 * len(self.injected):
            raise ParameterError(
                f"{call.samples} images are not {len(self.injected)} pairs; generate one image per "
                "prompt"
            )
        if call.rows.prompts != tuple(range(call.samples)):
            raise ParameterError(
                f"the rows of the batch are those of prompts {list(call.rows.prompts)}; give them "
                "to the denoiser in the order source, target, source, target, …"
            )
        if call.calls is None or call.steps is None:
            raise ParameterError(
                "the run does not show of how many steps the shares are, in which attention is "
                "injected; attach to the pipeline that runs, or set its scheduler's timesteps"
            )
        self._cross_calls, self._self_calls = self.edit.injected_calls(call.calls, call.steps)

    def hooks(self, layer: Layer) -> dict[str, Hook]:
        """Return the hooks of the projections of a layer's transformer block."""
        return {
            "attn1.to_q": self._inject_self,
            "attn1.to_k": self._inject_self,
            "attn2.to_q": partial(self._inject_cross, "query"),
            "attn2.to_k": partial(self._inject_cross, "key"),
            "attn2.to_v": self._map_values,
            "attn2.to_out.0": partial(self._add_own, layer),
        }

    def _pairs(self, call: Call, states: Tensor) -> Tensor:
        """View the prompts' rows of a layer's states as (pass × pair, 2, position, channel).

        A perturbed self-attention layer has no queries and keys of the perturbed pass.
        """
        return states[call.rows.edited].unflatten(0, (-1, 2))

    def _inject_self(self, call: Call, states: Tensor) -> Tensor:
        """Replace the targets' queries or keys of self-attention by their sources'."""
        height, width = call.latent_size
        grid = states.shape[1]
        if call.index >= self._self_calls or grid > height * width * self.edit.self_side**2:
            return states
        edited = states.clone()
        pairs = self._pairs(call, edited)
        pairs[:, 1] = pairs[:, 0]
        return edited

    def _inject_cross(self, name: str, call: Call, states: Tensor) -> Tensor:
        """Replace the targets' queries or keys of cross-attention, and keep the targets' own."""
        if call.index >= self._cross_calls:
            return states
        edited = states.clone()
        pairs = self._pairs(call, edited)
        self._target[name] = pairs[:, 1].clone()
        pairs[:, 1] = pairs[:, 0]
        return edited

    def _map_values(self, call: Call, values: Tensor) -> Tensor:
        """Map the targets' values to the columns of their sources, and keep the targets' own."""
        if call.index >= self._cross_calls:
            return values
        edited = values.clone()
        pairs = self._pairs(call, edited)
        self._target["value"] = pairs[:, 1].clone()
        mapper = self.injected.to(values).repeat(call.rows.passes, 1, 1)
        pairs[:, 1] = mapper @ pairs[:, 1]
        return edited

    def _add_own(self, layer: Layer, call: Call, mixed: Tensor) -> Tensor:
        """Add the targets' own attention to their new words, rescaled by head."""
        if call.index >= self._cross_calls or not self.own.any():
            return mixed
        query, key, value = (
            self._target.pop(name).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        factors = torch.from_numpy(self._factors[layer.head_positions]).to(value)
        own_columns = self.own.to(value).repeat(call.rows.passes, 1)
        value = value * factors[:, None, None] * own_columns[:, None, :, None]
        own = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)
        edited = mixed.clone()
        self._pairs(call, edited)[:, 1] += own
        return edited
