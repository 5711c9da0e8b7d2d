"""Ovis-Image: FLUX.1's layers with the states of Qwen 3, without those of its instruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.families.packed import PackedTemplate
from hrvlab.models.families.template_texts import MARK, around_mark
from hrvlab.models.families.without_votes import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class OvisImage(PackedTemplate):
    """A family whose prompts follow an instruction within one message."""

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the template puts before and after every prompt."""
        (formatted,) = pipe._get_messages(MARK)
        return around_mark(formatted)

    def dropped(self, pipe: DiffusionPipeline) -> int:
        """Return how many of the template's first tokens the denoiser is not given."""
        return int(pipe.user_prompt_begin_id)


OVIS_IMAGE = OvisImage(
    "Ovis-Image",
    ("OvisImagePipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("OvisImageTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    two_calls=True,
    transforms=True,
    special=False,
    refused=REFUSED,
    words="Qwen's tokens of the prompt and of the template after it, 256; padding, whose states "
    "are zeros, is read",
    tested="random pipelines, against explicit maps",
)
