"""The token columns of a prompt's words in its attention maps."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hrvlab.errors import TokenError
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
    "a rose-colored vase" and "a Rose.", but not in "a rosette". "rose (2)" is the second occurrence
    of "rose", unless the prompt says just that.

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
        If the word is empty, does not occur in the prompt, or not as often as asked for, or is
        wholly or partly truncated away.
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
    spans = _find(read, as_read(word)) or _find_one(as_read, read, word)
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


def _find(prompt: str, text: str) -> list[Span]:
    """Return where a text begins and ends in a prompt, every time it occurs."""
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, text.split())) + r"(?!\w)"
    return [match.span() for match in re.finditer(pattern, prompt, flags=re.IGNORECASE)]


def _find_one(as_read: Callable[[str], str], prompt: str, word: str) -> list[Span]:
    """Return where the occurrence that a word names begins and ends; none if it names none."""
    text, number = parse_occurrence(word)
    spans = [] if number is None else _find(prompt, as_read(text))
    if number is None or not spans:
        return []
    if not 1 <= number <= len(spans):
        raise TokenError(
            f"{word!r} is not in the prompt {prompt!r}: {text!r} occurs {len(spans)} times in it"
        )
    return spans[number - 1 : number]
