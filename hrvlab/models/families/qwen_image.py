"""Qwen-Image: joint attention with the states of Qwen 2.5-VL, without those of its instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hrvlab.models.families.inputs import all_given
from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.packed import PATCH, PackedTemplate
from hrvlab.models.families.without_votes import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.families.inputs import CallInputs
    from hrvlab.models.layers import Layer


@dataclass(frozen=True)
class QwenImage(PackedTemplate):
    """A family whose prompts are padded to the longest of a batch; padding is masked."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order."""
        config: Any = denoiser.config
        names = [("double", f"transformer_blocks.{n}.attn") for n in range(config.num_layers)]
        return joint_layers(denoiser, names, PATCH, first=True)

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        (_, height, width), *_ = all_given(denoiser, args, kwargs)["img_shapes"][0]
        corners = torch.tensor([[0, 0, 0], [0, height - 1, width - 1]])
        return super().inputs(denoiser, args, kwargs)._replace(positions=corners)

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the template puts before and after every prompt."""
        before, after = pipe.prompt_template_encode.split("{}")
        return before, after

    def dropped(self, pipe: DiffusionPipeline) -> int:
        """Return how many of the template's first tokens the denoiser is not given."""
        return int(pipe.prompt_template_encode_start_idx)

    def length(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many tokens the language model reads at most."""
        return int(pipe.tokenizer_max_length) + self.dropped(pipe)


QWEN_IMAGE = QwenImage(
    "Qwen-Image",
    ("QwenImagePipeline", "QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("QwenImageTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    two_calls=True,
    transforms=True,
    fixed=False,
    refused=REFUSED,
    words="Qwen's tokens of the prompt, and five of the template after it; padding is masked",
    tested="random pipelines, against explicit maps",
)
