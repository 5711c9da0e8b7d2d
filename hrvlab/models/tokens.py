"""The token columns of a prompt's words in its attention maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hrvlab.errors import TokenError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

TokenKind = Literal["start", "content", "end", "padding", "unnamed"]
ENDS = ("⟨end⟩", "⟨padding⟩")  # parts of a prompt that are not words


@dataclass(frozen=True)
class Token:
    """A token of a prompt: one column of its attention maps.

    Parameters
    ----------
    text : str
        The token as spelled in the vocabulary.
    word : str
        The space-separated word of the prompt that it belongs to; empty outside the content.
    kind : {"start", "content", "end", "padding", "unnamed"}
        ``"unnamed"`` is a column of text states that were given in place of a prompt.
    span : tuple of int
        Its first character in the prompt as the tokenizer reads it, and the one after its last;
        (0, 0) outside the content.
    number : int
        Its number in the vocabulary; −1 if unnamed.
    """

    text: str
    word: str
    kind: TokenKind
    span: tuple[int, int]
    number: int


def unnamed_tokens(columns: int) -> list[Token]:
    """Number the columns of text states that were given in place of a prompt."""
    return [Token(str(column), "", "unnamed", (0, 0), -1) for column in range(columns)]


def text_as_read(pipe: DiffusionPipeline, text: str, tokenizer: Any = None) -> str:
    """Return a text as the pipeline gives it to its tokenizer, by default the first.

    A token learned by textual inversion has several vectors, each of which is a token: "<cat>" is
    read as "<cat> <cat>_1 <cat>_2".
    """
    if not hasattr(pipe, "maybe_convert_prompt"):
        return text
    return str(pipe.maybe_convert_prompt(text, tokenizer or pipe.tokenizer))


def token_table(pipe: DiffusionPipeline, prompt: str) -> list[Token]:
    """Tabulate every token column of a prompt, padding included.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Its tokenizer is a fast CLIP tokenizer.
    prompt : str

    Returns
    -------
    list of Token, length ``pipe.tokenizer.model_max_length``
    """
    tokenizer = pipe.tokenizer
    read = text_as_read(pipe, prompt)
    encoded = tokenizer(
        read,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    words = _words(read, tokenizer.added_tokens_encoder)
    ids = encoded["input_ids"]
    texts = tokenizer.convert_ids_to_tokens(ids)
    length = sum(encoded["attention_mask"])
    table = []
    for column, (text, span) in enumerate(zip(texts, encoded["offset_mapping"], strict=True)):
        if column == 0 or column >= length - 1:
            kind: TokenKind = "start" if column == 0 else "end" if column < length else "padding"
            table.append(Token(text, "", kind, (0, 0), ids[column]))
            continue
        word = next((word for word, (a, b) in words if a <= span[0] < b), "")
        table.append(Token(text, word, "content", (span[0], span[1]), ids[column]))
    return table


def _words(read: str, learned: Mapping[str, int]) -> list[tuple[str, tuple[int, int]]]:
    """Return every space-separated word with its span; a learned token's parts are one word."""
    words: list[tuple[str, tuple[int, int]]] = []
    for match in re.finditer(r"\S+", read):
        part = re.match(r"(.+)_\d+(\W*)$", match[0])
        belongs = part and words and words[-1][0] == part[1] and match[0].rstrip(part[2]) in learned
        words.append((words[-1][0] if belongs else match[0], match.span()))
    return words


def content_columns(pipe: DiffusionPipeline, prompt: str) -> list[int]:
    """Return the columns of all words of a prompt, without start, end and padding.

    Raises
    ------
    TokenError
        If the prompt has no words.
    """
    table = token_table(pipe, prompt)
    columns = [column for column, token in enumerate(table) if token.kind == "content"]
    if not columns:
        raise TokenError(f"the prompt {prompt!r} has no words; give at least one")
    return columns


def word_columns(pipe: DiffusionPipeline, prompt: str, word: str) -> list[int]:
    """Return the columns of all occurrences of a word or phrase, or of one of them.

    Letter case is ignored, and a match begins and ends at word boundaries: "rose" is found in
    "a rose-colored vase" and "a Rose.", but not in "a rosette". "rose (2)" is the second occurrence
    of "rose", unless the prompt says just that.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    word : str
        Also ``"⟨end⟩"`` or ``"⟨padding⟩"``, which every prompt has.

    Returns
    -------
    list of int, ascending

    Raises
    ------
    TokenError
        If the word is empty, does not occur in the prompt, or not as often as asked for, or is
        wholly or partly truncated away.
    """
    if not word.strip():
        raise TokenError("the word is empty; give a word of the prompt")
    table = token_table(pipe, prompt)
    if word in ENDS:
        return [column for column, token in enumerate(table) if f"⟨{token.kind}⟩" == word]
    read = text_as_read(pipe, prompt)
    spans = _find(read, text_as_read(pipe, word)) or _find_one(pipe, read, word)
    if not spans:
        words = ", ".join(dict.fromkeys(prompt.split()))
        raise TokenError(f"{word!r} is not a word of the prompt {prompt!r}; its words are: {words}")
    content = [
        (column, token.span) for column, token in enumerate(table) if token.kind == "content"
    ]
    last = content[-1][1][1] if content else 0
    if any(end > last for _, end in spans):
        raise TokenError(
            f"{word!r} lies beyond the {len(table)} tokens that the model takes of {prompt!r}; "
            "shorten the prompt"
        )
    return [c for c, (a, b) in content if any(a < end and b > start for start, end in spans)]


def name_occurrence(text: str, number: int) -> str:
    """Return the name of an occurrence of a word, as `parse_occurrence` reads it.

    Parameters
    ----------
    text : str
    number : int
        From 1, which is not named.

    Examples
    --------
    >>> name_occurrence("red", 1), name_occurrence("red", 2)
    ('red', 'red (2)')
    """
    return f"{text} ({number})" if number > 1 else text


def parse_occurrence(word: str) -> tuple[str, int | None]:
    """Split the name of an occurrence of a word into the word and the occurrence's number.

    Parameters
    ----------
    word : str

    Returns
    -------
    text : str
    number : int or None
        None: all occurrences.

    Examples
    --------
    >>> parse_occurrence("red (2)"), parse_occurrence("red")
    (('red', 2), ('red', None))
    """
    found = re.fullmatch(r"(.*\S)\s+\((\d+)\)\s*", word, flags=re.DOTALL)
    return (found[1], int(found[2])) if found else (word, None)


def _find(prompt: str, text: str) -> list[tuple[int, int]]:
    """Return where a text begins and ends in a prompt, every time it occurs."""
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, text.split())) + r"(?!\w)"
    return [match.span() for match in re.finditer(pattern, prompt, flags=re.IGNORECASE)]


def _find_one(pipe: DiffusionPipeline, prompt: str, word: str) -> list[tuple[int, int]]:
    """Return where the occurrence that a word names begins and ends; none if it names none."""
    text, number = parse_occurrence(word)
    spans = [] if number is None else _find(prompt, text_as_read(pipe, text))
    if number is None or not spans:
        return []
    if not 1 <= number <= len(spans):
        raise TokenError(
            f"{word!r} is not in the prompt {prompt!r}: {text!r} occurs {len(spans)} times in it"
        )
    return spans[number - 1 : number]
