"""Families with joint attention, whose T5 reads every text without a mask."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.columns import Token, join_shared, token_spans, without_blanks, word_at, words_in
from hrvlab.models.families.family import Family
from hrvlab.models.families.inputs import all_given
from hrvlab.models.layers import Layer, default_size

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.columns import Span, TokenKind
    from hrvlab.models.families.family import Method
    from hrvlab.models.families.inputs import CallInputs

LENGTH = "max_sequence_length"
REFUSED: dict[Method, str] = {
    "attention injection": (
        "text and image are queries and keys of one softmax, and T5's columns of two prompts do "
        "not correspond to each other"
    ),
    "attention excitation": (
        "its layers, and its softmax over the words after a start token, are defined for UNets "
        "with CLIP's text encoders"
    ),
    "swapping text states": "a state of T5 depends on all words of its text",
}


@dataclass(frozen=True)
class JointTexts(Family):
    """A family whose words and image positions share one softmax.

    The last of its encoders is T5, whose padding is read as words are.
    """

    @property
    def _last(self) -> str:
        """Name of T5's tokenizer."""
        return self.encoders[-1][0]

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        given = all_given(denoiser, args, kwargs)
        return (
            super()
            .inputs(denoiser, args, kwargs)
            ._replace(positions=given.get("img_ids"), is_step=given.get("skip_layers") is None)
        )

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the length of texts, the layers that are skipped, and LoRA's strength.

        Text states that are given in place of prompts have the length.
        """
        how = {name: call.get(name) for name in (LENGTH, "clip_skip")}
        if (given := call.get("prompt_embeds")) is not None:
            first = given[0] if isinstance(given, list | tuple) else given
            how[LENGTH] = first.shape[-2] - self.before_t5(pipe)
        if "lora_scale" in inspect.signature(pipe.encode_prompt).parameters:
            kwargs = call.get("joint_attention_kwargs") or call.get("attention_kwargs")
            how["lora_scale"] = (kwargs or {}).get("scale")
        return {name: value for name, value in how.items() if value is not None}

    def before_t5(self, pipe: DiffusionPipeline) -> int:
        """Return how many columns stand before those of T5."""
        return 0

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as it is."""
        return text

    def spans(self, pipe: DiffusionPipeline, read: str) -> list[Span]:
        """Return what each of T5's tokens covers."""
        return token_spans(getattr(pipe, self._last), read)

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as T5 reads them."""
        return [(ids,) for ids in self._t5_ids(pipe, texts, how)]

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate T5's columns, padding included."""
        tokenizer = getattr(pipe, self._last)
        return t5_columns(tokenizer, self.read(pipe, prompt), t5_length(pipe, how))

    def _t5_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], how: Mapping[str, Any]
    ) -> list[list[int]]:
        encoded = getattr(pipe, self._last)(
            [self.read(pipe, text) for text in texts],
            padding="max_length",
            max_length=t5_length(pipe, how),
            truncation=True,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids


def t5_length(pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
    """Return how many of T5's columns the denoiser is given."""
    default = inspect.signature(type(pipe).__call__).parameters[LENGTH].default
    return int(how.get(LENGTH, default))


def t5_columns(tokenizer: Any, read: str, length: int, encoder: str = "") -> list[Token]:
    """Tabulate T5's columns of a text, padding included.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    read : str
    length : int
        How many columns there are.
    encoder : str
        See `Token`.

    Returns
    -------
    list of Token
    """
    encoded = tokenizer(
        read,
        padding="max_length",
        max_length=length,
        truncation=True,
        return_offsets_mapping=True,
    )
    words = join_shared(words_in(read), token_spans(tokenizer, read))
    ids = encoded["input_ids"]
    texts = tokenizer.convert_ids_to_tokens(ids)
    table = []
    for column, (number, span) in enumerate(zip(ids, encoded["offset_mapping"], strict=True)):
        kind: TokenKind = "end" if number == tokenizer.eos_token_id else "content"
        if not encoded["attention_mask"][column]:
            kind = "padding"
        own = without_blanks(read, span) if kind == "content" else (0, 0)
        word = word_at(words, own[0]) if kind == "content" else ""
        table.append(Token(texts[column], word, kind, own, number, encoder))
    return table


def joint_layers(
    denoiser: Any, names: Sequence[tuple[str, str]], patch: int, *, first: bool
) -> list[Layer]:
    """List layers of joint attention in forward order.

    Parameters
    ----------
    denoiser : torch.nn.Module
    names : sequence of (str, str)
        Each layer's block, and the path of its attention module.
    patch : int
        Latents along a side of one position.
    first : bool
        Whether text columns stand before the image's.

    Returns
    -------
    list of Layer
    """
    grid = default_size(denoiser)[0] // patch
    layers: list[Layer] = []
    start = 0
    for block, module in names:
        within = sum(layer.block == block for layer in layers)
        heads = int(denoiser.get_submodule(module).heads)
        layer = Layer(
            len(layers),
            block,
            within,
            module,
            heads,
            grid,
            patch,
            start,
            text="first" if first else "last",
        )
        layers.append(layer)
        start += heads
    return layers
