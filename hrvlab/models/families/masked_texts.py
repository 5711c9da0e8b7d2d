"""Families of transformers with one text encoder, whose padding is masked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils import is_bs4_available, is_ftfy_available

from hrvlab.models.columns import Token, join_shared, without_blanks, word_at, words_in
from hrvlab.models.families.alone import encode_alone
from hrvlab.models.families.encodings import WordEncodings
from hrvlab.models.families.family import Family
from hrvlab.models.layers import Layer, default_size

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn
    from transformers import BatchEncoding

    from hrvlab.models.columns import TokenKind

MASKED = -10000.0  # what diffusers adds to the scores of padding


@dataclass(frozen=True)
class MaskedTexts(Family):
    """A family of transformers whose blocks attend to the states of one masked text.

    Words are lower-cased before they are read; the encoder's own mask makes their states
    independent of the number of columns.

    Parameters
    ----------
    sink : {"start", "end"}
        The token of the empty prompt that takes part in votes beside all words.
    keywords : tuple of str
        Of the pipeline's call, on which the encoding of its prompts depends.
    through : tuple of str
        Parts of the denoiser that text states pass before the projections of its layers.
    """

    sink: TokenKind = "end"
    keywords: tuple[str, ...] = ("clean_caption", "max_sequence_length")
    through: tuple[str, ...] = ("caption_projection",)

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the cross-attention layers of a transformer in forward order."""
        config: Any = denoiser.config
        height, _ = default_size(denoiser)
        layers: list[Layer] = []
        start = 0
        for index in range(config.num_layers):
            name = f"transformer_blocks.{index}.attn2"
            module: Any = denoiser.get_submodule(name)
            layer = Layer(
                index,
                "cross",
                index,
                name,
                module.heads,
                height // config.patch_size,
                config.patch_size,
                start,
                **self._reads(module),
            )
            layers.append(layer)
            start += layer.heads
        return layers

    def _reads(self, module: Any) -> dict[str, Any]:
        """Return where queries and keys are read, if not where they are projected."""
        return {}

    def key_bias(self, mask: Tensor, sample: Tensor) -> Tensor:
        """Return what a mask adds to the scores of every column, shape (row, token)."""
        if mask.ndim == 3:  # already so
            return mask[:, 0]
        return (1 - mask.to(sample.dtype)) * MASKED

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the length of texts, and how they are cleaned."""
        return {name: call[name] for name in self.keywords if name in call}

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline cleans it."""
        clean = self._completed(pipe, how)["clean_caption"]
        (read,) = pipe._text_preprocessing([text], clean_caption=clean)
        return str(read)

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as the text encoder reads them."""
        how = self._completed(pipe, how)
        return [
            (self._tokenize(pipe, self.read(pipe, text, **how), how)["input_ids"],)
            for text in texts
        ]

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate every token column of a prompt, padding included."""
        how = self._completed(pipe, how)
        read = self.read(pipe, prompt, **how)
        encoded = self._tokenize(pipe, read, how)
        ids = encoded["input_ids"]
        texts = pipe.tokenizer.convert_ids_to_tokens(ids)
        begin = len(self.instruction(how))
        words = join_shared(words_in(read), self.spans(pipe, read))
        every = torch.arange(len(ids))[None, :, None]
        table = []
        for column in self.arriving(every, how["max_sequence_length"]).flatten().tolist():
            first, last = encoded["offset_mapping"][column]
            kind: TokenKind = "content" if last > begin else "template"
            if not encoded["attention_mask"][column]:
                kind = "padding"
            elif ids[column] == pipe.tokenizer.eos_token_id:
                kind = "end"
            elif ids[column] == pipe.tokenizer.bos_token_id:
                kind = "start"
            span = (0, 0)
            if kind == "content":
                span = without_blanks(read, (first - begin, last - begin))
            word = word_at(words, span[0]) if kind == "content" else ""
            table.append(Token(texts[column], word, kind, span, ids[column]))
        return table

    def instruction(self, how: Mapping[str, Any]) -> str:
        """Return what the pipeline puts before every prompt."""
        return ""

    def _length(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many tokens the text encoder reads."""
        return int(how["max_sequence_length"])

    def _tokenize(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any]
    ) -> BatchEncoding:
        encoded: BatchEncoding = pipe.tokenizer(
            self.instruction(how) + read,
            padding="max_length",
            padding_side="right",
            max_length=self._length(pipe, how),
            truncation=True,
            return_offsets_mapping=True,
        )
        return encoded

    def _completed(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the keywords by the defaults of the pipeline's call."""
        there = inspect.signature(type(pipe).__call__).parameters
        full = {name: there[name].default for name in self.keywords} | dict(how)
        # As diffusers does, which would say so anew for every text.
        cleans = is_bs4_available() and is_ftfy_available()
        full["clean_caption"] = bool(full["clean_caption"]) and cleans
        return full

    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by the pipeline itself, as it encodes the prompts of the denoiser."""
        return super().encode(pipe, texts, **self._completed(pipe, how))

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Encode each word alone, in the same way as the prompts of the denoiser.

        The sink's state is taken from the empty prompt.

        Raises
        ------
        ModelError
            If the tokenizer reads the empty prompt without that token.
        """
        alone = encode_alone(self, pipe, words, self.sink, **how)
        parts = (getattr(self.denoiser(pipe), name) for name in self.through)
        through = tuple(part for part in parts if part is not None)
        return WordEncodings(**alone, through=through)
