"""PixArt-α and PixArt-Σ: transformers with T5's text states, whose padding is masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hrvlab.models.families.masked_texts import MaskedTexts

if TYPE_CHECKING:
    from hrvlab.models.families.family import Method

REFUSED: dict[Method, str] = {
    "attention injection": (
        "a source's keys would be read under the mask of its target, which has another length"
    ),
    "attention excitation": (
        "its layers, and its softmax over the words after a start token, are defined for UNets "
        "with CLIP's text encoders"
    ),
    "swapping text states": "every text state comes with a mask, which would be another prompt's",
}

PIXART = MaskedTexts(
    "PixArt-α and PixArt-Σ",
    ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "PixArtSigmaPAGPipeline"),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("PixArtTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    refused=REFUSED,
    words="T5's tokens of the cleaned prompt, 120 or 300; padding is masked",
    sink_name="the end token of the empty prompt",
    tested="head counts of the published sizes; random pipelines, against explicit maps",
)
