"""Tokens as columns of attention maps: their words, kinds, and characters in the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

TokenKind = Literal["start", "content", "end", "padding", "template", "unnamed"]
Span = tuple[int, int]


@dataclass(frozen=True)
class Token:
    """A token of a prompt: one column of its attention maps.

    Parameters
    ----------
    text : str
        The token as spelled in the vocabulary.
    word : str
        The space-separated word of the prompt that it belongs to; empty outside the content.
    kind : {"start", "content", "end", "padding", "template", "unnamed"}
        ``"template"`` is a column of the instruction that a pipeline puts around every prompt,
        ``"unnamed"`` one of text states that were given in place of a prompt.
    span : tuple of int
        Its first character in the prompt as the tokenizer reads it, and the one after its last;
        (0, 0) outside the content.
    number : int
        Its number in the vocabulary; −1 if unnamed.
    """

    text: str
    word: str
    kind: TokenKind
    span: Span
    number: int


def unnamed_tokens(columns: int) -> list[Token]:
    """Number the columns of text states that were given in place of a prompt."""
    return [Token(str(column), "", "unnamed", (0, 0), -1) for column in range(columns)]


def words_in(read: str, learned: Mapping[str, int]) -> list[tuple[str, Span]]:
    """List every space-separated word with its span; a learned token's parts are one word.

    Parameters
    ----------
    read : str
    learned : mapping of str to int
        Tokens that were added to a vocabulary.
    """
    words: list[tuple[str, Span]] = []
    for match in re.finditer(r"\S+", read):
        part = re.match(r"(.+)_\d+(\W*)$", match[0])
        belongs = part and words and words[-1][0] == part[1] and match[0].rstrip(part[2]) in learned
        words.append((words[-1][0] if belongs else match[0], match.span()))
    return words


def word_at(words: Sequence[tuple[str, Span]], place: int) -> str:
    """Return the word that holds a character; "" if none does."""
    return next((word for word, (a, b) in words if a <= place < b), "")


def without_blanks(read: str, span: Span) -> Span:
    """Return a token's characters without the blanks before them.

    Tokenizers of the SentencePiece kind count a blank as part of the token that follows it. Where
    it is a token by itself, it stands for the first character of the word that it begins.
    """
    first, last = max(span[0], 0), span[1]
    while first < len(read) and read[first].isspace():
        first += 1
    return (first, max(last, min(first + 1, len(read))))
