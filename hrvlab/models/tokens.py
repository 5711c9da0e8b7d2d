"""The token columns of a prompt's words in its attention maps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.errors import TokenError
from hrvlab.models.columns import find_text, join_shared, words_in
from hrvlab.models.families import family_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.columns import Span, Token

ENDS = ("⟨end⟩", "⟨padding⟩")  # parts of a prompt that are not words


def token_table(pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
    """Tabulate every token column of a prompt, padding included.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    **how
        Keywords of its own call on which the columns depend, such as ``max_sequence_length``.

    Returns
    -------
    list of Token
        As many as the denoiser is given.
    """
    return family_of(pipe).token_table(pipe, prompt, **how)


@dataclass(frozen=True)
class PromptWord:
    """A word of a prompt, and the token columns that it has in its attention maps.

    Parameters
    ----------
    text : str
    columns : list of int
        Ascending.
    whole : bool
        Whether the model takes all its tokens.
    """

    text: str
    columns: list[int]
    whole: bool


def prompt_words(pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[PromptWord]:
    """List the words of a prompt, those included that the model does not take.

    Words stand between spaces. In scripts without spaces every character is a word of its own,
    unless it shares a token with its neighbor.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    **how
        See `token_table`.

    Returns
    -------
    list of PromptWord
        In the order of the prompt.

    Examples
    --------
    >>> [(word.text, word.columns) for word in hl.prompt_words(pipe, "a red car, 赤い車")]
    [('a', [1]), ('red', [2]), ('car,', [3, 4]), ('赤', [5, 6, 7]), ('い', [8, 9, 10]),
     ('車', [11, 12, 13])]
    >>> [word.text for word in hl.prompt_words(pipe, "very " * 40 + "tall") if not word.whole][-1]
    'tall'
    """
    family = family_of(pipe)
    read = family.read(pipe, prompt, **how)
    table = family.token_table(pipe, prompt, **how)
    content, beyond = _content(table), family.beyond(pipe, read, table)
    learned = family.tokenizer(pipe).added_tokens_encoder
    spans = [*content.values(), *beyond]
    return [
        PromptWord(text, _overlapping(content, [span]), _is_whole(span, content, beyond))
        for text, span in join_shared(words_in(read, learned), spans)
    ]


def _content(table: Sequence[Token]) -> dict[int, Span]:
    """Return what each content column covers."""
    return {column: token.span for column, token in enumerate(table) if token.kind == "content"}


def _overlapping(content: Mapping[int, Span], spans: Sequence[Span]) -> list[int]:
    """Return the columns that overlap any of some spans."""
    return [
        column
        for column, (a, b) in content.items()
        if any(a < stop and b > start for start, stop in spans)
    ]


def _is_whole(span: Span, content: Mapping[int, Span], beyond: Sequence[Span]) -> bool:
    """Whether a span has columns, and no token beyond those that the model takes."""
    cut = any(a < span[1] and b > span[0] for a, b in beyond)
    return bool(_overlapping(content, [span])) and not cut


def content_columns(pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[int]:
    """Return the columns of all words of a prompt, without start, end and padding.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    **how
        See `token_table`.

    Raises
    ------
    TokenError
        If the prompt has no words.
    """
    table = token_table(pipe, prompt, **how)
    columns = [column for column, token in enumerate(table) if token.kind == "content"]
    if not columns:
        raise TokenError(f"the prompt {prompt!r} has no words; give at least one")
    return columns


def word_columns(pipe: DiffusionPipeline, prompt: str, word: str, **how: Any) -> list[int]:
    """Return the columns of all occurrences of a word or phrase, or of one of them.

    Letter case is ignored, and a match begins and ends at word boundaries: "rose" is found in
    "a rose-colored vase" and "a Rose.", but not in "a rosette". In scripts without spaces any part
    of the prompt is found; where it begins or ends within a token, that token is among its columns.
    "rose (2)" is the second occurrence of "rose", unless the prompt says just that.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    word : str
        Also ``"⟨end⟩"`` or ``"⟨padding⟩"``.
    **how
        See `token_table`.

    Returns
    -------
    list of int, ascending

    Raises
    ------
    TokenError
        If the word is empty, does not occur in the prompt, or not as often as asked for, or
        wherever it occurs is wholly or partly truncated away.
    """
    if not word.strip():
        raise TokenError("the word is empty; give a word of the prompt")
    family = family_of(pipe)
    table = family.token_table(pipe, prompt, **how)
    if word in ENDS:
        if word == ENDS[0] and not family.marks_end:
            raise TokenError(f"{family.name} marks no end of a prompt; give a word")
        return [column for column, token in enumerate(table) if f"⟨{token.kind}⟩" == word]

    def as_read(text: str) -> str:
        return family.read(pipe, text, **how)

    read = as_read(prompt)
    found = find_text(read, as_read(word)) or _find_one(as_read, read, word)
    if not found:
        words = ", ".join(dict.fromkeys(one.text for one in prompt_words(pipe, prompt, **how)))
        raise TokenError(f"{word!r} is not a word of the prompt {prompt!r}; its words are: {words}")
    content, beyond = _content(table), family.beyond(pipe, read, table)
    whole = [span for span in found if _is_whole(span, content, beyond)]
    if not whole:
        raise TokenError(
            f"{word!r} lies beyond the {len(table)} tokens that the model takes of {prompt!r}; "
            "shorten the prompt"
        )
    return _overlapping(content, whole)


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


def _find_one(as_read: Callable[[str], str], prompt: str, word: str) -> list[Span]:
    """Return where the occurrence that a word names begins and ends; none if it names none."""
    text, number = parse_occurrence(word)
    spans = [] if number is None else find_text(prompt, as_read(text))
    if number is None or not spans:
        return []
    if not 1 <= number <= len(spans):
        raise TokenError(
            f"{word!r} is not in the prompt {prompt!r}: {text!r} occurs {len(spans)} times in it"
        )
    return spans[number - 1 : number]
