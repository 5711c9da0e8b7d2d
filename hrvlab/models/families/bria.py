"""Bria: FLUX.1's layers with T5's columns, whose padding is zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hrvlab.models.families.packed import flux_layers, packed_size
from hrvlab.models.families.without_votes import REFUSED, WithoutVotes

if TYPE_CHECKING:
    from torch import nn

    from hrvlab.models.families.inputs import CallInputs
    from hrvlab.models.layers import Layer


@dataclass(frozen=True)
class Bria(WithoutVotes):
    """A family whose denoiser is given packed latents, and zeros after each prompt's columns."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order: double blocks, then single ones."""
        return flux_layers(denoiser)

    def latent_size(self, inputs: CallInputs) -> tuple[int, int]:
        """Return height and width of the latents before they were packed."""
        return packed_size(inputs)


BRIA = Bria(
    "Bria 3.2",
    ("BriaPipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("BriaTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    by_mode=True,
    transforms=True,
    refused=REFUSED,
    words="T5's tokens, 128; padding, whose states are zeros, is read",
    tested="random pipelines, against explicit maps",
)
