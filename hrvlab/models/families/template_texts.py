"""Families with joint attention, whose language model reads every prompt within a template."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.columns import Token, join_shared, without_blanks, word_at, words_in
from hrvlab.models.families.joint_texts import LENGTH, t5_length
from hrvlab.models.families.without_votes import WithoutVotes

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.columns import Side, Span, TokenKind

Encoded = dict[str, list[Any]]
MARK = "\ue000"  # of private use, which no template holds


@dataclass(frozen=True)
class TemplateTexts(WithoutVotes):
    """A family whose prompts stand in the template of a chat.

    Parameters
    ----------
    fixed : bool
        Whether texts are padded to the length that the call gives, not to the longest of a batch.
    special : bool
        Whether the tokenizer puts its own start and end around the template.
    """

    fixed: bool = True
    special: bool = True

    @abstractmethod
    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return what the template puts before and after every prompt."""

    def dropped(self, pipe: DiffusionPipeline) -> int:
        """Return how many of the template's first tokens the denoiser is not given."""
        return 0

    def columns(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many columns the denoiser is given at most."""
        return t5_length(pipe, how)

    def length(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many tokens the language model reads at most."""
        return self.columns(pipe, how) + self.dropped(pipe)

    def _read_tokens(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any], *, whole: bool = False
    ) -> Encoded:
        before, after = self.around(pipe, how)
        encoded = self.tokenizer(pipe)(
            before + read + after,
            padding="max_length" if self.fixed and not whole else False,
            max_length=None if whole else self.length(pipe, how),
            truncation=not whole,
            add_special_tokens=self.special,
            return_offsets_mapping=True,
            verbose=False,
        )
        return dict(encoded)

    def _content(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any], encoded: Encoded
    ) -> dict[int, Span]:
        """Return what each column of the prompt covers of it."""
        begin = len(self.around(pipe, how)[0])
        return {
            column: without_blanks(read, (first - begin, min(last - begin, len(read))))
            for column, (first, last) in enumerate(encoded["offset_mapping"])
            if first < last and last > begin and first < begin + len(read)
        }

    def spans(self, pipe: DiffusionPipeline, read: str, **how: Any) -> list[Span]:
        """Return what each token of a text from `read` covers, also beyond those that are taken."""
        encoded = self._read_tokens(pipe, read, how, whole=True)
        return [*self._content(pipe, read, how, encoded).values()]

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as the language model reads them."""
        return [
            (self._read_tokens(pipe, self.read(pipe, text, **how), how)["input_ids"],)
            for text in texts
        ]

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate the columns that the denoiser is given of the template and of the prompt."""
        read = self.read(pipe, prompt, **how)
        encoded = self._read_tokens(pipe, read, how)
        tokenizer, ids = self.tokenizer(pipe), encoded["input_ids"]
        texts = tokenizer.convert_ids_to_tokens(ids)
        content = self._content(pipe, read, how, encoded)
        words = join_shared(words_in(read), self.spans(pipe, read, **how))
        table = []
        for column, number in enumerate(ids):
            kind: TokenKind = "content" if column in content else "template"
            if not encoded["attention_mask"][column]:
                kind = "padding"
            elif number == tokenizer.bos_token_id:
                kind = "start"
            span = content[column] if kind == "content" else (0, 0)
            word = word_at(words, span[0]) if kind == "content" else ""
            table.append(Token(texts[column], word, kind, span, number))
        dropped = self.dropped(pipe)
        return table[dropped : dropped + self.columns(pipe, how)]

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the length of texts."""
        return {name: call[name] for name in (LENGTH,) if call.get(name) is not None}


def padded(encoded: Encoded, missing: int, number: int, side: Side = "right") -> Encoded:
    """Pad what a tokenizer returned by so many tokens of a number, which are masked."""
    padding = {"input_ids": number, "offset_mapping": (0, 0)}
    every = {name: [padding.get(name, 0)] * missing for name in encoded}
    if side == "left":
        return {name: every[name] + values for name, values in encoded.items()}
    return {name: values + every[name] for name, values in encoded.items()}


def around_mark(formatted: str) -> tuple[str, str]:
    """Split what a template makes of the mark into what stands before and after it."""
    before, _, after = formatted.partition(MARK)
    return before, after
