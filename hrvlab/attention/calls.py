"""What a hook knows about the UNet call it runs in, and what a tap must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from diffusers.models.attention_processor import Attention

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


class Tap(Protocol):
    """An observer of cross-attention; it never changes the output."""

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Prepare for a generation, before any hook is in place."""

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Read the conditional samples' queries and keys of one layer in one call."""
