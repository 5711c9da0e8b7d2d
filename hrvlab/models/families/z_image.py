"""Z-Image: joint attention in shared blocks, with Qwen's columns after those of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from hrvlab.models.families.inputs import CallInputs, all_given
from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.packed import PATCH
from hrvlab.models.families.template_texts import MARK, TemplateTexts, around_mark, padded
from hrvlab.models.families.without_votes import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

    from hrvlab.models.families.family import Branch
    from hrvlab.models.layers import Layer

MULTIPLE = 32  # of columns, and of the image's positions, before they are joined
STATES = "it takes a list of text states of different lengths"


@dataclass(frozen=True)
class ZImage(TemplateTexts):
    """A family that is given a list of latents and of text states, one for each row.

    The denoiser pads the columns of each to a multiple, with a state that it learned and reads, and
    those of shorter texts further, where they are masked.
    """

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order; refiners are none."""
        config: Any = denoiser.config
        names = [("single", f"layers.{n}.attention") for n in range(config.n_layers)]
        return joint_layers(denoiser, names, PATCH, first=False)

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        given = all_given(denoiser, args, kwargs)
        sample = torch.stack([latents[:, 0] for latents in given["x"]])
        texts = given["cap_feats"]
        longest = max(map(len, texts))
        height, width = sample.shape[-2:]
        return CallInputs(
            sample,
            given["t"],
            pad_sequence(texts, batch_first=True),
            None,
            columns=longest + -longest % MULTIPLE,
            pixels=(height // PATCH) * (width // PATCH),
        )

    def branches(self, pipe: DiffusionPipeline, *, guided: bool) -> tuple[Branch, ...]:
        """Return the prompts' branch, and after it the negative prompts' in steps that have it."""
        return ("prompt", "negative") if guided else ("prompt",)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep from the time that the denoiser is given, from 0 to 1."""
        return 1000 * (1 - given)

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the template puts before and after every prompt."""
        messages = [{"role": "user", "content": MARK}]
        return around_mark(
            pipe.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=True
            )
        )

    def _read_tokens(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any], *, whole: bool = False
    ) -> dict[str, list[Any]]:
        encoded = super()._read_tokens(pipe, read, how, whole=whole)
        missing = 0 if whole else -len(encoded["input_ids"]) % MULTIPLE
        return padded(encoded, missing, pipe.tokenizer.pad_token_id)

    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by the pipeline itself, with zeros after the shorter ones."""
        return pad_sequence(super().encode(pipe, texts, **how), batch_first=True)

    def part(self, states: Tensor, of_encoders: Sequence[Tensor], number: int) -> Tensor:
        """Return text states in as many columns as the prompts have."""
        return pad(states, (0, 0, 0, of_encoders[number].shape[1] - states.shape[1]))


Z_IMAGE = ZImage(
    "Z-Image",
    ("ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("ZImageTransformer2DModel",),
    component="transformer",
    sample="x",
    marks_end=False,
    by_mode=True,
    transforms=True,
    fixed=False,
    refused=REFUSED,
    keywords_refused={"prompt_embeds": STATES, "negative_prompt_embeds": STATES},
    words="Qwen's tokens with the template around the prompt, up to 512; padding, to multiples of "
    "32, is read",
    tested="random pipelines, against explicit maps",
)
