"""CogView 3+ and 4: joint attention in blocks that text and image share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.template_texts import TemplateTexts, padded
from hrvlab.models.families.without_votes import REFUSED, WithoutVotes

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.families.template_texts import Encoded
    from hrvlab.models.layers import Layer

MULTIPLE = 16  # of columns


def shared_layers(denoiser: Any) -> list[Layer]:
    """List the layers of a transformer whose blocks are all alike."""
    config = denoiser.config
    names = [("single", f"transformer_blocks.{n}.attn1") for n in range(config.num_layers)]
    return joint_layers(denoiser, names, config.patch_size, first=True)


@dataclass(frozen=True)
class CogView3Plus(WithoutVotes):
    """A family with T5's columns."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order."""
        return shared_layers(denoiser)


@dataclass(frozen=True)
class CogView4(TemplateTexts):
    """A family with GLM's columns, which are padded on the left; padding is read."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order."""
        return shared_layers(denoiser)

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return nothing: there is no template."""
        return "", ""

    def _read_tokens(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any], *, whole: bool = False
    ) -> Encoded:
        encoded = super()._read_tokens(pipe, read, how, whole=whole)
        missing = 0 if whole else -len(encoded["input_ids"]) % MULTIPLE
        return padded(encoded, missing, pipe.tokenizer.pad_token_id, "left")

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as GLM reads them in one batch."""
        every = [ids for (ids,) in super().token_ids(pipe, texts, **how)]
        longest = max(map(len, every))
        return [([pipe.tokenizer.pad_token_id] * (longest - len(ids)) + ids,) for ids in every]


COGVIEW_3_PLUS = CogView3Plus(
    "CogView 3+",
    ("CogView3PlusPipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("CogView3PlusTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    by_mode=True,
    refused=REFUSED,
    words="T5's tokens, 224; padding is read",
    tested="random pipelines, against explicit maps",
)
COGVIEW_4 = CogView4(
    "CogView 4",
    ("CogView4Pipeline", "CogView4ControlPipeline"),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("CogView4Transformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    two_calls=True,
    padding="left",
    fixed=False,
    refused=REFUSED,
    words="GLM's tokens, padded on the left to the longest of a batch, in multiples of 16; padding "
    "is read",
    tested="random pipelines, against explicit maps",
)
