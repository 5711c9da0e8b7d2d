"""FLUX.1 and Chroma: joint attention, with columns of T5."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hrvlab.models.families.clip_texts import text_as_read
from hrvlab.models.families.joint_texts import (
    REFUSED,
    JointTexts,
    joint_layers,
    t5_columns,
    t5_length,
)
from hrvlab.models.families.sana import unrounded_timestep

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

    from hrvlab.models.columns import Token
    from hrvlab.models.families.carrier import Passengers
    from hrvlab.models.families.inputs import CallInputs
    from hrvlab.models.layers import Layer

PATCH = 2  # latents along a side of one position; the latents are packed
THOUSAND = 1000  # by which the pipelines divide timesteps
HALF_PRECISION = 2**-7  # more than bfloat16 rounds twice


@dataclass(frozen=True)
class Flux(JointTexts):
    """A family whose denoiser is given packed latents and T5's states."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order: double blocks, then single ones."""
        config: Any = denoiser.config
        names = [("double", f"transformer_blocks.{n}.attn") for n in range(config.num_layers)]
        names += [
            ("single", f"single_transformer_blocks.{n}.attn")
            for n in range(config.num_single_layers)
        ]
        return joint_layers(denoiser, names, PATCH, first=True)

    def latent_size(self, inputs: CallInputs) -> tuple[int, int]:
        """Return height and width of the latents before they were packed."""
        assert inputs.positions is not None
        row, column = inputs.positions.reshape(-1, inputs.positions.shape[-1]).amax(dim=0)[1:3]
        return PATCH * (int(row) + 1), PATCH * (int(column) + 1)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep, of which the denoiser is given a thousandth, rounded."""
        scaled = given * THOUSAND
        current = getattr(pipe, "_current_timestep", None)
        # A call of the pipeline that was interrupted leaves its last timestep behind.
        if current is not None and math.isclose(float(current), scaled, rel_tol=HALF_PRECISION):
            return float(current)
        return unrounded_timestep(pipe, scaled)

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline gives it to T5's tokenizer."""
        return text_as_read(pipe, text, getattr(pipe, self._last))

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as T5 reads them."""
        return [(ids,) for ids in self._t5_ids(pipe, texts, how)]

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate T5's columns, padding included."""
        tokenizer = getattr(pipe, self._last)
        return t5_columns(tokenizer, self.read(pipe, prompt), t5_length(pipe, how))

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
