"""Stable Diffusion 3 and 3.5: joint attention, with columns of two CLIPs and of T5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hrvlab.models.columns import Token, token_spans
from hrvlab.models.families.carried_texts import CarriedTexts
from hrvlab.models.families.clip_texts import clip_columns
from hrvlab.models.families.joint_texts import (
    REFUSED,
    joint_layers,
    t5_columns,
    t5_length,
)

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

    from hrvlab.models.columns import Span
    from hrvlab.models.layers import Layer


@dataclass(frozen=True)
class StableDiffusion3(CarriedTexts):
    """A family whose two CLIPs share columns, before those of T5; without a T5, these are zeros.

    The second attention of a block, which 3.5 has, is the image's own. The calls that skip layers,
    for guidance, are neither read nor edited.
    """

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order."""
        config: Any = denoiser.config
        names = [("double", f"transformer_blocks.{n}.attn") for n in range(config.num_layers)]
        return joint_layers(denoiser, names, config.patch_size, first=False)

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as each of the text encoders reads them."""
        of_clips = [
            getattr(pipe, name)(
                list(texts),
                padding="max_length",
                truncation=True,
                max_length=pipe.tokenizer_max_length,
            )["input_ids"]
            for name, _ in self.encoders[:2]
        ]
        if pipe.text_encoder_3 is None:
            return list(zip(*of_clips, strict=True))
        return list(zip(*of_clips, self._t5_ids(pipe, texts, how), strict=True))

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate the columns of CLIP, then those of T5."""
        clips = [getattr(pipe, name) for name, _ in self.encoders[:2]]
        shared = [replace(token, encoder="clip") for token in clip_columns(pipe, prompt, clips)]
        length = t5_length(pipe, how)
        if pipe.text_encoder_3 is None:
            return shared + [Token("", "", "padding", (0, 0), -1, "t5")] * length
        return shared + t5_columns(pipe.tokenizer_3, prompt, length, "t5")

    def before_t5(self, pipe: DiffusionPipeline) -> int:
        """Return how many columns stand before those of T5."""
        return int(pipe.tokenizer_max_length)

    def word_encoder(self, pipe: DiffusionPipeline) -> str:
        """Return the text encoder whose columns stand for words in votes by default."""
        return "t5" if pipe.text_encoder_3 is not None else "clip"

    def spans(self, pipe: DiffusionPipeline, read: str) -> list[Span]:
        """Return what each of T5's tokens covers, or of CLIP's where there is no T5."""
        lone = pipe.text_encoder_3 is None
        return token_spans(pipe.tokenizer if lone else pipe.tokenizer_3, read)

    def beyond(self, pipe: DiffusionPipeline, read: str, table: Sequence[Token]) -> list[Span]:
        """Return what the tokens cover that T5 does not take; CLIP takes fewer."""
        longest = self.word_encoder(pipe)
        return super().beyond(pipe, read, [token for token in table if token.encoder == longest])

    def part(self, states: Tensor, of_encoders: Sequence[Tensor], number: int) -> Tensor:
        """Return the part of joined text states that one of the encoders contributed."""
        if len(of_encoders) == 1:
            return states
        columns = of_encoders[0].shape[1]
        if number == 2:
            return states[:, columns:]
        first = number * of_encoders[0].shape[2]
        return states[:, :columns, first : first + of_encoders[number].shape[2]]

    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by the pipeline itself, the same for all encoders."""
        return super().encode(pipe, texts, prompt_2=None, prompt_3=None, **how)


STABLE_DIFFUSION_3 = StableDiffusion3(
    "Stable Diffusion 3 and 3.5",
    (
        "StableDiffusion3Pipeline",
        "StableDiffusion3Img2ImgPipeline",
        "StableDiffusion3InpaintPipeline",
        "StableDiffusion3ControlNetPipeline",
        "StableDiffusion3ControlNetInpaintingPipeline",
    ),
    encoders=(
        ("tokenizer", "text_encoder"),
        ("tokenizer_2", "text_encoder_2"),
        ("tokenizer_3", "text_encoder_3"),
    ),
    denoisers=("SD3Transformer2DModel",),
    component="transformer",
    sample="hidden_states",
    by_mode=True,
    refused=REFUSED,
    optional=("text_encoder_3",),
    word_encoders={"t5": "padding", "clip": "start"},
    sink_name="T5's first padding, or without a T5 CLIP's start token",
    words="CLIP's tokens, 77, then T5's, 256: a word has columns of both; padding is read, as are "
    "the zeros in place of a T5 that is left out",
    tested="random pipelines, against explicit maps",
)
