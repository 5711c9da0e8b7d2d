"""Families whose text encoders are CLIP's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from hrvlab.errors import HrvlabWarning, ModelError
from hrvlab.models.columns import Token, join_shared, token_spans, word_at, words_in
from hrvlab.models.families.encodings import WordEncodings
from hrvlab.models.families.family import Family

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.columns import TokenKind


@dataclass(frozen=True)
class ClipTexts(Family):
    """A family whose text encoders are CLIP's, which are causal and read a fixed number of tokens.

    States of several text encoders are joined; columns are the first tokenizer's tokens.
    """

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the layers that are skipped, and the strength of LoRAs in the encoders."""
        how = {"clip_skip": call.get("clip_skip")}
        how["lora_scale"] = (call.get("cross_attention_kwargs") or {}).get("scale")
        return {name: value for name, value in how.items() if value is not None}

    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline gives it to its first tokenizer."""
        return text_as_read(pipe, text)

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as each of the text encoders reads them."""
        of_encoders = []
        for name, _ in self.encoders:
            tokenizer = getattr(pipe, name)
            read = [text_as_read(pipe, text, tokenizer) for text in texts]
            length = tokenizer.model_max_length
            encoded = tokenizer(read, padding="max_length", truncation=True, max_length=length)
            of_encoders.append(encoded["input_ids"])
        return list(zip(*of_encoders, strict=True))

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate every token column of a prompt, padding included.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
            Its tokenizer is a fast CLIP tokenizer.
        prompt : str
        **how
            Columns do not depend on it.

        Returns
        -------
        list of Token, length ``pipe.tokenizer.model_max_length``
            As the first of several tokenizers splits the prompt.

        Warns
        -----
        HrvlabWarning
            If a second tokenizer, as SDXL has, splits it otherwise.
        """
        return clip_columns(pipe, prompt, [getattr(pipe, name) for name, _ in self.encoders])

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Encode each word alone, in the same way as the prompts of the denoiser.

        Follows Appendix A of arXiv 2412.02237. The start token's state is the same for every word,
        as the encoders are causal.

        Raises
        ------
        ModelError
            If a tokenizer does not begin a text with a start token.
        """
        rows = self.encode(pipe, words, **how)
        content = []
        for row, word in zip(rows, words, strict=True):
            table = self.token_table(pipe, word)
            if table[0].number != pipe.tokenizer.bos_token_id:
                raise ModelError(
                    "this tokenizer does not begin a text with a start token, which votes need; "
                    "use a model with CLIP text encoders"
                )
            content.append(row[[n for n, token in enumerate(table) if token.kind == "content"]])
        return WordEncodings(start=rows[0, 0], content=content)


def clip_columns(pipe: DiffusionPipeline, prompt: str, tokenizers: Sequence[Any]) -> list[Token]:
    """Tabulate CLIP's columns of a prompt, padding included.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    tokenizers : sequence of transformers.PreTrainedTokenizerBase
        Those whose states share the columns, which are named by the first.

    Returns
    -------
    list of Token

    Warns
    -----
    HrvlabWarning
        If a second tokenizer splits the prompt otherwise.
    """
    tokenizer, *others = tokenizers
    read, encoded = _split(pipe, prompt, tokenizer)
    for other in others:
        _compare_columns(prompt, encoded, _split(pipe, prompt, other)[1])
    words = join_shared(
        words_in(read, tokenizer.added_tokens_encoder), token_spans(tokenizer, read)
    )
    ids = encoded["input_ids"]
    texts = tokenizer.convert_ids_to_tokens(ids)
    length = sum(encoded["attention_mask"])
    table = []
    for column, (text, span) in enumerate(zip(texts, encoded["offset_mapping"], strict=True)):
        if column == 0 or column >= length - 1:
            end: TokenKind = "end" if column < length else "padding"
            kind: TokenKind = "start" if column == 0 else end
            table.append(Token(text, "", kind, (0, 0), ids[column]))
            continue
        word = word_at(words, span[0])
        table.append(Token(text, word, "content", (span[0], span[1]), ids[column]))
    return table


def _split(pipe: DiffusionPipeline, prompt: str, tokenizer: Any) -> tuple[str, Any]:
    """Return a prompt as a tokenizer reads it, and its tokens with their spans."""
    read = text_as_read(pipe, prompt, tokenizer)
    length = tokenizer.model_max_length
    how = {"padding": "max_length", "truncation": True, "max_length": length}
    return read, tokenizer(read, return_offsets_mapping=True, **how)


def _compare_columns(prompt: str, first: Any, second: Any) -> None:
    """Warn if a second tokenizer puts words into other columns.

    A padding token such as "!" is cut out of a text before anything is merged, so that "!!" is one
    token for SDXL's first tokenizer, and two for its second.
    """
    of_both = [
        encoded["offset_mapping"][: sum(encoded["attention_mask"]) - 1]
        for encoded in (first, second)
    ]
    columns = zip_longest(*of_both)
    differing = next((n for n, (one, other) in enumerate(columns) if one != other), None)
    if differing is not None:
        warnings.warn(
            f"the two tokenizers split {prompt!r} differently, so that from column {differing} on "
            "a column holds parts of two words, and is named by the first; most often marks such "
            "as '!!' are the cause: write one",
            HrvlabWarning,
            stacklevel=2,
        )


def text_as_read(pipe: DiffusionPipeline, text: str, tokenizer: Any = None) -> str:
    """Return a text as the pipeline gives it to its tokenizer, by default the first.

    A token learned by textual inversion has several vectors, each of which is a token: "<cat>" is
    read as "<cat> <cat>_1 <cat>_2".
    """
    if not hasattr(pipe, "maybe_convert_prompt"):
        return text
    return str(pipe.maybe_convert_prompt(text, tokenizer or pipe.tokenizer))
