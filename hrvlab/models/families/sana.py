"""Sana and Sana-Sprint: transformers with Gemma's text states, which follow an instruction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hrvlab.models.families.masked_texts import MaskedTexts
from hrvlab.models.families.pixart import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.models.families.family import Branch

INSTRUCTION = "complex_human_instruction"
ROUNDING = 1e-5  # of float32
SPRINT = ("SanaSprintPipeline", "SanaSprintImg2ImgPipeline")


@dataclass(frozen=True)
class Sana(MaskedTexts):
    """A family whose text encoder reads an instruction before every prompt.

    The denoiser is given the start token and the last columns, of which the first may still belong
    to the instruction.
    """

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the instruction, texts' length, how they are cleaned, and LoRA's strength."""
        scale = (call.get("attention_kwargs") or {}).get("scale")
        return super().encoding(pipe, call) | ({} if scale is None else {"lora_scale": scale})

    def _reads(self, module: Any) -> dict[str, Any]:
        """Return the norms that some variants have behind their projections."""
        return {} if module.norm_q is None else {"query": "norm_q", "key": "norm_k"}

    def instruction(self, how: Mapping[str, Any]) -> str:
        """Return what the pipeline puts before every prompt."""
        return "\n".join(how[INSTRUCTION] or [])

    def _length(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many tokens the text encoder reads."""
        length = super()._length(pipe, how)
        if not (instruction := self.instruction(how)):
            return length
        # The start token counts for both, and the instruction's last token may merge with a word.
        return len(pipe.tokenizer.encode(instruction)) + length - 2

    def arriving(self, states: Tensor, columns: int) -> Tensor:
        """Return the states of the start token and of the last columns."""
        read = states.shape[1]
        kept = torch.cat([torch.arange(1), torch.arange(read - columns + 1, read)])
        return states if read <= columns else states[:, kept.to(states.device)]

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep from the one that the denoiser is given, scaled."""
        scale = getattr(pipe.transformer.config, "timestep_scale", 1.0)
        return unrounded_timestep(pipe, given / scale)


@dataclass(frozen=True)
class SanaSprint(Sana):
    """A family that is guided by an embedding, so that all rows of a batch are conditional."""

    def branches(self, pipe: DiffusionPipeline, *, guided: bool) -> tuple[Branch, ...]:
        """Return the prompts' branch alone."""
        return ("prompt",)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's angle t from the share sin t / (sin t + cos t) that is given."""
        return unrounded_timestep(pipe, math.atan2(given, 1 - given))


def unrounded_timestep(pipe: DiffusionPipeline, timestep: float) -> float:
    """Return the scheduler's timestep that a computed one is but for rounding; else the latter."""
    # Some schedulers have None until they are set.
    timesteps = [] if pipe.scheduler.timesteps is None else pipe.scheduler.timesteps.tolist()
    near = [one for one in timesteps if math.isclose(one, timestep, rel_tol=ROUNDING)]
    return float(min(near, key=lambda one: abs(one - timestep), default=timestep))


SANA = Sana(
    "Sana",
    ("SanaPipeline", "SanaPAGPipeline", "SanaControlNetPipeline"),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("SanaTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    refused=REFUSED,
    sink="start",
    keywords=("clean_caption", "max_sequence_length", INSTRUCTION),
    through=("caption_projection", "caption_norm"),
    words="Gemma's tokens of the cleaned prompt after the instruction, 300; padding is masked",
    sink_name="the start token",
    tested="head counts of the published sizes; random pipelines, against explicit maps",
)
SANA_SPRINT = SanaSprint(**(vars(SANA) | {"name": "Sana-Sprint", "pipelines": SPRINT}))
