"""FLUX.2 and FLUX.2 klein: joint attention with layers of a language model, template included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.families.packed import PackedTemplate
from hrvlab.models.families.template_texts import MARK, around_mark
from hrvlab.models.families.without_votes import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

LAYERS = "text_encoder_out_layers"
IMAGES = "an image to refer to would stand among the keys, so that no head had a map of words alone"


@dataclass(frozen=True)
class Flux2Klein(PackedTemplate):
    """A family whose states are three layers of Qwen 3, which reads a chat of one message."""

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the template puts before and after every prompt."""
        messages = [{"role": "user", "content": MARK}]
        return around_mark(
            pipe.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the length of texts, and the layers that are taken of their states."""
        own = {LAYERS: call[LAYERS]} if call.get(LAYERS) is not None else {}
        return super().encoding(pipe, call) | own


@dataclass(frozen=True)
class Flux2(Flux2Klein):
    """A family whose states are three layers of Mistral 3, after a message of the system."""

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the template puts before and after every prompt."""
        texts = {"system": pipe.system_message, "user": MARK}
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in texts.items()
        ]
        return around_mark(pipe.tokenizer.apply_chat_template(messages, tokenize=False))

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline puts it into the template, without marks of images."""
        return text.replace("[IMG]", "")

    def tokenizer(self, pipe: DiffusionPipeline) -> Any:
        """Return the tokenizer, which is a part of a processor of text and images."""
        return pipe.tokenizer.tokenizer


FLUX_2 = Flux2(
    "FLUX.2",
    ("Flux2Pipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("Flux2Transformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    two_calls=True,
    transforms=True,
    special=False,
    refused=REFUSED,
    keywords_refused={
        "image": IMAGES,
        "caption_upsample_temperature": "another text would be generated from every prompt",
    },
    words="Mistral's tokens, 512, with the template around the prompt; padding is read",
    tested="random pipelines, against explicit maps",
)
FLUX_2_KLEIN = Flux2Klein(
    **(
        vars(FLUX_2)
        | {
            "name": "FLUX.2 klein",
            "pipelines": ("Flux2KleinPipeline",),
            "special": True,
            "keywords_refused": {"image": IMAGES},
            "words": "Qwen's tokens, 512, with the template around the prompt; padding is read",
        }
    )
)
