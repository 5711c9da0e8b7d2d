"""Lumina-Next: a transformer with cross-attention to Gemma's columns, whose heads share keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from diffusers.utils import is_bs4_available, is_ftfy_available
from torch.nn import ModuleList

from hrvlab.models.families.alone import AT_ONCE
from hrvlab.models.families.encodings import WordEncodings
from hrvlab.models.families.hunyuan_dit import REFUSED
from hrvlab.models.families.inputs import CallInputs, all_given
from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.template_texts import TemplateTexts, padded

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

    from hrvlab.models.families.family import Branch
    from hrvlab.models.families.template_texts import Encoded
    from hrvlab.models.layers import Layer

MULTIPLE = 8  # of columns
CLEAN = "clean_caption"


def cleans(how: Mapping[str, Any]) -> bool:
    """Return whether the pipeline cleans texts, which it does if it has the libraries."""
    return bool(how.get(CLEAN, True)) and is_bs4_available() and is_ftfy_available()


@dataclass(frozen=True)
class LuminaNext(TemplateTexts):
    """A family whose padding, to the longest text of a batch, is masked."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the cross-attention layers in forward order."""
        config: Any = denoiser.config
        names = [("cross", f"layers.{n}.attn2") for n in range(config.num_layers)]
        reads: dict[str, Any] = {"key_heads": config.num_kv_heads}
        if config.qk_norm:
            reads |= {"query": "norm_q", "key": "norm_k"}
        layers = joint_layers(denoiser, names, config.patch_size, first=True)
        return [replace(layer, text="alone", **reads) for layer in layers]

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        given = all_given(denoiser, args, kwargs)
        sample, states = given["hidden_states"], given["encoder_hidden_states"]
        bias = given["encoder_mask"].to(sample.dtype).log()
        return CallInputs(sample, given["timestep"], states, bias)

    def branches(self, pipe: DiffusionPipeline, *, guided: bool) -> tuple[Branch, ...]:
        """Return the prompts' branch, and after it the negative prompts'."""
        return ("prompt", "negative") if guided else ("prompt",)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep from the time that the denoiser is given, from 0 to 1."""
        return float((1 - given) * pipe.scheduler.config.num_train_timesteps)

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return nothing: there is no template."""
        return "", ""

    def columns(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many columns the denoiser is given at most."""
        return int(pipe.max_sequence_length)

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return how texts are cleaned; the pipeline ignores their length."""
        return {CLEAN: call[CLEAN]} if CLEAN in call else {}

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline cleans it."""
        (read,) = pipe._text_preprocessing([text], clean_caption=cleans(how))
        return str(read)

    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by the pipeline itself, as it encodes the prompts of the denoiser."""
        return super().encode(pipe, texts, **{CLEAN: cleans(how)})

    def _read_tokens(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any], *, whole: bool = False
    ) -> Encoded:
        encoded = super()._read_tokens(pipe, read, how, whole=whole)
        missing = 0 if whole else -len(encoded["input_ids"]) % MULTIPLE
        return padded(encoded, missing, pipe.tokenizer.pad_token_id)

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Encode each word alone; the sink is the start token."""
        content = []
        for first in range(0, len(words), AT_ONCE):
            some = words[first : first + AT_ONCE]
            for word, states in zip(some, self.encode(pipe, some, **how), strict=True):
                table = self.token_table(pipe, word, **how)
                start = states[[token.kind for token in table].index("start")]
                content.append(states[[n for n, token in enumerate(table) if token.word]])
        blocks: Any = self.denoiser(pipe)
        norms = ModuleList([block.norm1_context for block in blocks.layers])
        return WordEncodings(start, content, (norms,))


LUMINA_NEXT = LuminaNext(
    "Lumina-Next",
    ("LuminaPipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("LuminaNextDiT2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    transforms=True,
    fixed=False,
    refused=REFUSED,
    words="Gemma's tokens of the cleaned prompt, up to 256; padding is masked",
    sink_name="the start token",
    tested="random pipelines, against explicit maps",
)
