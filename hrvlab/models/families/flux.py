"""FLUX.1 and Chroma: joint attention, with columns of T5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hrvlab.models.families.carried_texts import CarriedTexts
from hrvlab.models.families.clip_texts import text_as_read
from hrvlab.models.families.joint_texts import REFUSED
from hrvlab.models.families.packed import flux_layers, of_thousandth, packed_size

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

    from hrvlab.models.families.carrier import Passengers
    from hrvlab.models.families.inputs import CallInputs
    from hrvlab.models.layers import Layer


@dataclass(frozen=True)
class Flux(CarriedTexts):
    """A family whose denoiser is given packed latents and T5's states."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order: double blocks, then single ones."""
        return flux_layers(denoiser)

    def latent_size(self, inputs: CallInputs) -> tuple[int, int]:
        """Return height and width of the latents before they were packed."""
        return packed_size(inputs)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep, of which the denoiser is given a thousandth, rounded."""
        return of_thousandth(pipe, given)

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline gives it to T5's tokenizer."""
        return text_as_read(pipe, text, getattr(pipe, self._last))

    def enter(self, given: Mapping[str, Any], words: Passengers) -> dict[str, Any]:
        """Return what a block is given if words stand in place of its text."""
        tables = tuple(table[words.places] for table in given["image_rotary_emb"])
        return super().enter(given, words) | {"image_rotary_emb": tables}


@dataclass(frozen=True)
class Chroma(Flux):
    """A family with a mask, whose single blocks are given text and image as one."""

    def enter(self, given: Mapping[str, Any], words: Passengers) -> dict[str, Any]:
        """Return what a block is given if words stand in place of its text.

        Words and image are not masked, which adds the same to all their scores.
        """
        own = super().enter(given, words) | {"attention_mask": None}
        if "encoder_hidden_states" not in given:
            own["hidden_states"] = own.pop("encoder_hidden_states")
        return own

    def leave(self, output: Any, words: Passengers) -> Tensor | None:
        """Return the words' states after a block."""
        return output if isinstance(output, torch.Tensor) else super().leave(output, words)


FLUX = Flux(
    "FLUX.1",
    (
        "FluxPipeline",
        "FluxImg2ImgPipeline",
        "FluxInpaintPipeline",
        "FluxFillPipeline",
        "FluxControlPipeline",
        "FluxControlImg2ImgPipeline",
        "FluxControlInpaintPipeline",
        "FluxControlNetPipeline",
        "FluxControlNetImg2ImgPipeline",
        "FluxControlNetInpaintPipeline",
    ),
    encoders=(("tokenizer_2", "text_encoder_2"),),
    denoisers=("FluxTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    by_mode=True,
    two_calls=True,
    refused=REFUSED,
    word_encoders={"": "padding"},
    words="T5's tokens, 512; padding is read; CLIP's pooled state has no columns",
    sink_name="T5's first padding",
    tested="random pipelines, against explicit maps",
)
CHROMA = Chroma(
    **(
        vars(FLUX)
        | {
            "name": "Chroma",
            "word_encoders": {"": "end"},
            "sink_name": "the end token of the empty prompt",
            "pipelines": ("ChromaPipeline", "ChromaImg2ImgPipeline"),
            "encoders": (("tokenizer", "text_encoder"),),
            "denoisers": ("ChromaTransformer2DModel",),
            # diffusers adds its mask of 0 and 1 to the scores, so that padding is read too.
            "words": "T5's tokens, 512; padding is read, by a score of 1 less than words",
        }
    )
)
