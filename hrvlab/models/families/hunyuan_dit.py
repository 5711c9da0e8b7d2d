"""Hunyuan-DiT: a transformer with cross-attention to columns of BERT, then of T5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ModelError
from hrvlab.models.columns import Token, join_shared, token_spans, word_at, words_in
from hrvlab.models.families.alone import AT_ONCE
from hrvlab.models.families.encodings import WordEncodings
from hrvlab.models.families.inputs import CallInputs, all_given
from hrvlab.models.families.joint_texts import JointTexts, joint_layers, t5_columns

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

    from hrvlab.models.columns import Span, TokenKind
    from hrvlab.models.families.family import Method
    from hrvlab.models.layers import Layer

BERT, T5 = 77, 256  # columns
STATES = "its text states are those of two encoders, with masks"
REFUSED: dict[Method, str] = {
    "attention injection": (
        "the columns of two prompts do not correspond to each other in two text encoders"
    ),
    "attention excitation": (
        "its layers, and its softmax over the words after a start token, are defined for UNets "
        "with CLIP's text encoders"
    ),
    "swapping text states": "the state of a word depends on the other words of its text",
}


@dataclass(frozen=True)
class HunyuanDiT(JointTexts):
    """A family whose padding is a state that the denoiser learned, and reads.

    In votes, the columns of T5 stand for words.
    """

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the cross-attention layers in forward order."""
        config: Any = denoiser.config
        names = [("cross", f"blocks.{n}.attn2") for n in range(config.num_layers)]
        reads: dict[str, Any] = {"query": "norm_q", "key": "norm_k", "of_heads": True}
        layers = joint_layers(denoiser, names, config.patch_size, first=True)
        return [replace(layer, text="alone", **reads) for layer in layers]

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        given = all_given(denoiser, args, kwargs)
        states = given["encoder_hidden_states_t5"]
        columns = given["encoder_hidden_states"].shape[1] + states.shape[1]
        return CallInputs(given["hidden_states"], given["timestep"], states, None, columns=columns)

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return nothing: prompts are always encoded alike."""
        return {}

    def _t5_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], how: Mapping[str, Any]
    ) -> list[list[int]]:
        tables = [t5_columns(pipe.tokenizer_2, text, T5) for text in texts]
        return [[token.number for token in table] for table in tables]

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate the columns of BERT, then those of T5."""
        return bert_columns(pipe.tokenizer, prompt) + t5_columns(pipe.tokenizer_2, prompt, T5, "t5")

    def beyond(self, pipe: DiffusionPipeline, read: str, table: Sequence[Token]) -> list[Span]:
        """Return what the tokens cover that T5 does not take; BERT takes fewer."""
        return super().beyond(pipe, read, [token for token in table if token.encoder == "t5"])

    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by T5, as the pipeline itself does."""
        return super().encode(pipe, texts, text_encoder_index=1, max_sequence_length=T5)

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Encode each word alone by T5; the sink is the end token of the empty prompt.

        Raises
        ------
        ModelError
            If a word has no tokens.
        """
        texts, content = ["", *words], list[Any]()
        for first in range(0, len(texts), AT_ONCE):
            some = texts[first : first + AT_ONCE]
            for text, states in zip(some, self.encode(pipe, some), strict=True):
                kinds = [token.kind for token in t5_columns(pipe.tokenizer_2, text, T5)]
                own = [kind == ("content" if content else "end") for kind in kinds]
                if not any(own):
                    raise ModelError(f"T5's tokenizer reads nothing in {text!r}, which has no vote")
                content.append(states[own])
        through: Any = self.denoiser(pipe)
        return WordEncodings(content[0][0], content[1:], (through.text_embedder,))


def bert_columns(tokenizer: Any, read: str) -> list[Token]:
    """Tabulate BERT's columns of a text, padding included."""
    encoded = tokenizer(
        read, padding="max_length", max_length=BERT, truncation=True, return_offsets_mapping=True
    )
    ids, words = encoded["input_ids"], join_shared(words_in(read), token_spans(tokenizer, read))
    marks: dict[int, TokenKind] = {
        tokenizer.cls_token_id: "start",
        tokenizer.sep_token_id: "end",
        tokenizer.pad_token_id: "padding",
    }
    return [
        Token(text, "", marks[number], (0, 0), number, "bert")
        if number in marks
        else Token(text, word_at(words, span[0]), "content", span, number, "bert")
        for text, number, span in zip(
            tokenizer.convert_ids_to_tokens(ids), ids, encoded["offset_mapping"], strict=True
        )
    ]


HUNYUAN_DIT = HunyuanDiT(
    "Hunyuan-DiT",
    ("HunyuanDiTPipeline",),
    encoders=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
    denoisers=("HunyuanDiT2DModel",),
    component="transformer",
    sample="hidden_states",
    by_mode=True,
    transforms=True,
    refused=REFUSED,
    keywords_refused={
        f"{negative}prompt_{part}{number}": STATES
        for negative in ("", "negative_")
        for part in ("embeds", "attention_mask")
        for number in ("", "_2")
    },
    words="BERT's tokens, 77, then T5's, 256: a word has columns of both; padding, a learned "
    "state, is read",
    sink_name="the end token of the empty prompt, in T5's columns",
    tested="random pipelines, against explicit maps",
)
