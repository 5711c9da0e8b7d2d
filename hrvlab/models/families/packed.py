"""Denoisers that are given packed latents, and a thousandth of the scheduler's timestep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.sana import unrounded_timestep
from hrvlab.models.families.template_texts import TemplateTexts

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.families.inputs import CallInputs
    from hrvlab.models.layers import Layer

PATCH = 2  # latents along a side of one position
THOUSAND = 1000  # by which the pipelines divide timesteps
HALF_PRECISION = 2**-7  # more than bfloat16 rounds twice


def packed_size(inputs: CallInputs) -> tuple[int, int]:
    """Return height and width of latents before they were packed, from where they stand."""
    assert inputs.positions is not None
    every = inputs.positions.reshape(-1, inputs.positions.shape[-1])[:, 1:3]
    rows, columns = (every.amax(dim=0) - every.amin(dim=0) + 1).tolist()
    return PATCH * int(rows), PATCH * int(columns)


def of_thousandth(pipe: DiffusionPipeline, given: float) -> float:
    """Return the scheduler's timestep, of which a denoiser is given a thousandth, rounded."""
    scaled = given * THOUSAND
    current = getattr(pipe, "_current_timestep", None)
    # A call of the pipeline that was interrupted leaves its last timestep behind.
    if current is not None and math.isclose(float(current), scaled, rel_tol=HALF_PRECISION):
        return float(current)
    return unrounded_timestep(pipe, scaled)


def flux_layers(denoiser: Any) -> list[Layer]:
    """List layers of joint attention as FLUX.1 has them: double blocks, then single ones."""
    config = denoiser.config
    names = [("double", f"transformer_blocks.{n}.attn") for n in range(config.num_layers)]
    names += [
        ("single", f"single_transformer_blocks.{n}.attn") for n in range(config.num_single_layers)
    ]
    return joint_layers(denoiser, names, PATCH, first=True)


@dataclass(frozen=True)
class PackedTemplate(TemplateTexts):
    """A family with packed latents, and prompts in a template."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order."""
        return flux_layers(denoiser)

    def latent_size(self, inputs: CallInputs) -> tuple[int, int]:
        """Return height and width of the latents before they were packed."""
        return packed_size(inputs)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep, of which the denoiser is given a thousandth, rounded."""
        return of_thousandth(pipe, given)
