"""What a hook knows about the UNet call it runs in, and what a tap must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from diffusers.models.attention_processor import Attention
from torch import Tensor

from hrvlab.models.heads import Layer
from hrvlab.typing import Key, Query


@dataclass(frozen=True)
class Call:
    """One call of the UNet.

    Parameters
    ----------
    index : int
        Its number within the generation, from 0.
    noise_level : float
        The scheduler's timestep; some schedulers call twice at one level.
    conditional : slice
        The rows of the UNet's batch that saw the prompts.
    samples : int
        How many rows that is.
    latent_size : tuple of int
        Height and width of the latents.
    """

    index: int
    noise_level: float
    conditional: slice
    samples: int
    latent_size: tuple[int, int]


# What a bound edit does with the states of one projection in one call; it gives new ones.
Hook = Callable[[Call, Tensor], Tensor]


class BoundEdit(Protocol):
    """An intervention that knows the prompts and the model it acts on."""

    def hooks(self, layer: Layer) -> Mapping[str, Hook]:
        """Give what to do in a layer's transformer block.

        Keys name projections of its self- and cross-attention: ``"attn1.to_q"``, ``"attn2.to_v"``
        and so on, whose outputs are changed, or ``"attn2.to_out.0"``, whose input is.
        """


class Tap(Protocol):
    """An observer of cross-attention; it never changes the output."""

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Prepare for a generation, before any hook is in place."""

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Read the conditional samples' queries and keys of one layer in one call."""
