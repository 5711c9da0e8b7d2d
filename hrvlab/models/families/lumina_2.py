"""Lumina 2: joint attention in shared blocks, in which each row's image follows its own text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.families.inputs import CallInputs, all_given
from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.template_texts import TemplateTexts
from hrvlab.models.families.without_votes import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.layers import Layer

SYSTEM = "system_prompt"


@dataclass(frozen=True)
class Lumina2(TemplateTexts):
    """A family whose denoiser takes no padding of texts, so that rows have different lengths."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order; refiners are none."""
        config: Any = denoiser.config
        names = [("single", f"layers.{n}.attn") for n in range(config.num_layers)]
        return joint_layers(denoiser, names, config.patch_size, first=True)

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        given = all_given(denoiser, args, kwargs)
        lengths = given["encoder_attention_mask"].sum(dim=1).tolist()  # as the denoiser does
        return CallInputs(
            given["hidden_states"],
            given["timestep"],
            given["encoder_hidden_states"],
            None,
            columns=max(lengths),
            lengths=tuple(lengths) if len({*lengths}) > 1 else None,
        )

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep from the time that the denoiser is given, from 0 to 1."""
        return float((1 - given) * pipe.scheduler.config.num_train_timesteps)

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the pipeline puts before and after every prompt."""
        return f"{how.get(SYSTEM, pipe.system_prompt)} <Prompt Start> ", ""

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the length of texts, and what stands before them."""
        own = {SYSTEM: call[SYSTEM]} if call.get(SYSTEM) is not None else {}
        return super().encoding(pipe, call) | own


LUMINA_2 = Lumina2(
    "Lumina 2",
    ("Lumina2Pipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("Lumina2Transformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    two_calls=True,
    transforms=True,
    fixed=False,
    refused=REFUSED,
    words="Gemma's tokens with the instruction before the prompt, up to 256; there is no padding",
    tested="random pipelines, against explicit maps",
)
