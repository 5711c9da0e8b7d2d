"""Tokens as columns of attention maps: their words, kinds, and characters in the prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from hrvlab.errors import TokenError

TokenKind = Literal["start", "content", "end", "padding", "template", "register", "unnamed"]
Side = Literal["left", "right"]
Span = tuple[int, int]  # first character, and the one after the last

# Scripts that put no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer and their relatives,
# the kana, and Chinese characters.
UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_SPACED_LETTER = rf"[^\W{UNSPACED}]"


@dataclass(frozen=True)
class Token:
    """A token of a prompt: one column of its attention maps.

    Parameters
    ----------
    text : str
        The token as spelled in the vocabulary.
    word : str
        The word of the prompt that it belongs to, see `hrvlab.prompt_words`; empty outside the
        content.
    kind : {"start", "content", "end", "padding", "template", "register", "unnamed"}
        ``"template"`` is a column of the instruction that a pipeline puts around every prompt,
        ``"register"`` one that the denoiser learned for itself, ``"unnamed"`` one of text states
        that were given in place of a prompt.
    span : tuple of int
        Its first character in the prompt as the tokenizer reads it, and the one after its last;
        (0, 0) outside the content.
    number : int
        Its number in the vocabulary; −1 if unnamed.
    encoder : str
        The text encoder, if several contribute columns of their own.
    """

    text: str
    word: str
    kind: TokenKind
    span: Span
    number: int
    encoder: str = ""


PADDING = Token("", "", "padding", (0, 0), -1)


def missing_columns(missing: int, side: Side) -> tuple[int, int]:
    """Return how many columns to add on the left and on the right; if negative, to leave out."""
    return (missing, 0) if side == "left" else (0, missing)


def fit_columns(table: Sequence[Token], length: int, side: Side = "right") -> list[Token]:
    """Pad a table of columns to a length, or leave out its padding beyond it.

    Parameters
    ----------
    table : sequence of Token
    length : int
    side : {"left", "right"}
        Where padding stands.

    Returns
    -------
    list of Token

    Examples
    --------
    >>> from hrvlab.models.columns import Token, fit_columns
    >>> [token.kind for token in fit_columns([Token("a", "a", "content", (0, 1), 5)], 2)]
    ['content', 'padding']
    """
    left, right = missing_columns(length - len(table), side)
    kept = table[max(0, -left) : len(table) + min(0, right)]
    return [*[PADDING] * left, *kept, *[PADDING] * right]


def joined_padding(tables: Sequence[Sequence[Token]]) -> list[int]:
    """Return the columns that are left where padding is joined.

    Parameters
    ----------
    tables : sequence of sequence of Token
        The columns of several prompts.

    Returns
    -------
    list of int
        The first of each group: every column is one, but those that are padding in all prompts are
        one for each encoder.

    Examples
    --------
    >>> from hrvlab.models.columns import Token, joined_padding
    >>> kinds = ["start", "content", "end", "padding", "padding"]
    >>> joined_padding([[Token("", "", kind, (0, 0), 0) for kind in kinds]])
    [0, 1, 2, 3]
    """
    columns = list(zip(*tables, strict=True))
    padding = [all(token.kind == "padding" for token in column) for column in columns]
    return [
        number
        for number, column in enumerate(columns)
        if not number
        or not (padding[number] and padding[number - 1])
        or column[0].encoder != columns[number - 1][0].encoder
    ]


def unnamed_tokens(columns: int) -> list[Token]:
    """Number the columns of text states that were given in place of a prompt."""
    return [Token(str(column), "", "unnamed", (0, 0), -1) for column in range(columns)]


def words_in(read: str, learned: Container[str] = ()) -> list[tuple[str, Span]]:
    """Split a text at spaces, and at every character of scripts that put none between words.

    Parameters
    ----------
    read : str
    learned : container of str
        Tokens that were added to a vocabulary, of which those of one concept, such as ``"<cat>"``
        and ``"<cat>_1"``, are one word.

    Returns
    -------
    list of tuple of str and span
        Each word and where it stands.

    Examples
    --------
    >>> from hrvlab.models.columns import words_in
    >>> [word for word, _ in words_in("a red-blue car, 赤い車")]
    ['a', 'red-blue', 'car,', '赤', 'い', '車']
    """
    words: list[tuple[str, Span]] = []
    for match in re.finditer(r"\S+", read):
        part = re.match(r"(.+)_\d+(\W*)$", match[0])
        if part and words and words[-1][0] == part[1] and match[0].rstrip(part[2]) in learned:
            words[-1] = words[-1][0], (words[-1][1][0], match.end())
            continue
        cuts = [0, *_cuts(match[0]), len(match[0])]
        words += [
            (match[0][start:stop], (match.start() + start, match.start() + stop))
            for start, stop in pairwise(cuts)
        ]
    return words


def _cuts(run: str) -> list[int]:
    """Return where a run of characters without spaces is cut; marks stay with their letter."""
    return [
        at
        for at in range(1, len(run))
        if _UNSPACED.search(run[at - 1 : at + 1]) and unicodedata.category(run[at])[0] != "M"
    ]


def join_shared(
    words: Sequence[tuple[str, Span]], tokens: Sequence[Span]
) -> list[tuple[str, Span]]:
    """Join neighboring words that share a token.

    Parameters
    ----------
    words : sequence of tuple of str and span
        From `split_words`.
    tokens : sequence of span
        What each token covers.

    Returns
    -------
    list of tuple of str and span

    Examples
    --------
    >>> from hrvlab.models.columns import join_shared
    >>> join_shared([("猫", (0, 1)), ("と", (1, 2)), ("犬", (2, 3))], [(0, 2), (2, 3)])
    [('猫と', (0, 2)), ('犬', (2, 3))]
    """
    joined: list[tuple[str, Span]] = []
    for word, (start, stop) in words:
        if joined and any(a < start < b for a, b in tokens):
            joined[-1] = joined[-1][0] + word, (joined[-1][1][0], stop)
        else:
            joined.append((word, (start, stop)))
    return joined


def find_text(text: str, sought: str) -> list[Span]:
    """Find a word or phrase in a text, every time it occurs.

    Letter case is ignored. A match begins and ends at word boundaries; in scripts that put no
    spaces between words, there is one at every character.

    Parameters
    ----------
    text : str
    sought : str
        Its spaces match any.

    Returns
    -------
    list of tuple of int
        First character, and the one after the last.

    Examples
    --------
    >>> from hrvlab.models.columns import find_text
    >>> find_text("a Rose, a rosette", "rose"), find_text("黒猫と犬", "猫")
    ([(2, 6)], [(1, 2)])
    """
    words = sought.split()
    before = "" if _UNSPACED.match(words[0]) else rf"(?<!{_SPACED_LETTER})"
    after = "" if _UNSPACED.match(words[-1][-1]) else rf"(?!{_SPACED_LETTER})"
    pattern = before + r"\s+".join(map(re.escape, words)) + after
    return [match.span() for match in re.finditer(pattern, text, flags=re.IGNORECASE)]


def replace_text(text: str, sought: str, by: str) -> str:
    """Replace a word or phrase of a text, every time it occurs.

    Parameters
    ----------
    text, sought : str
        See `find_text`.
    by : str
        One word or several; none to drop it.

    Returns
    -------
    str

    Raises
    ------
    TokenError
        If it does not occur.

    Examples
    --------
    >>> from hrvlab.models.columns import replace_text
    >>> replace_text("a red car", "red", "dark blue"), replace_text("a red car", "red", "")
    ('a dark blue car', 'a car')
    """
    found = find_text(text, sought) if sought.strip() else []
    if not found:
        raise TokenError(f"{sought!r} is not a word of the prompt {text!r}")
    for start, stop in reversed(found):
        text = text[:start] + by + text[stop:]
    return re.sub(r"  +", " ", text).strip()


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


def token_spans(tokenizer: Any, read: str) -> list[Span]:
    """Return what each token of a text covers, also of those beyond a model's length."""
    encoded = tokenizer(read, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [without_blanks(read, span) for span in encoded["offset_mapping"]]
