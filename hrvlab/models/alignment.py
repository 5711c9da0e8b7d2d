"""The alignment of the token columns of two prompts that differ in some of their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hrvlab.errors import TokenError
from hrvlab.models.families import family_of
from hrvlab.models.families.clip_texts import text_as_read
from hrvlab.models.tokens import token_table

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.typing import Alignment

Method = Literal["words", "published"]


def align(
    pipe: DiffusionPipeline, source: str, target: str, method: Method = "words"
) -> tuple[Alignment, list[int]]:
    """Align the token columns of two prompts with the same number of words.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    source, target : str
        The target is the source with one or more words replaced.
    method : {"words", "published"}
        Where a word is replaced by one with another number of tokens, ``"words"`` shifts all later
        words accordingly; ``"published"`` does not, as in Prompt-to-Prompt's code.

    Returns
    -------
    mapper : ndarray of float64, shape (source token, target token)
        The share of a source column's attention that a target column receives.
    replaced : list of int
        Columns of the target's new words.

    Raises
    ------
    ModelError
        If attention injection is not defined for the pipeline's family.
    TokenError
        If the prompts differ in their number of words, are equal, or are truncated.
    """
    family_of(pipe).check_method("attention injection")
    words = [_word_columns(pipe, prompt) for prompt in (source, target)]
    texts = [prompt.split() for prompt in (source, target)]
    if len(texts[0]) != len(texts[1]):
        raise TokenError(
            f"the source has {len(texts[0])} words and the target {len(texts[1])}; replace each "
            f"word by one word: {source!r}, {target!r}"
        )
    changed = [n for n, (a, b) in enumerate(zip(*texts, strict=True)) if a != b]
    if not changed:
        raise TokenError(f"source and target are both {source!r}; replace at least one word")
    replaced = [column for number in changed for column in words[1][number]]
    build = _by_words if method == "words" else _as_published
    mapper = build(words[0], words[1], changed, pipe.tokenizer.model_max_length)
    return mapper, replaced


def _word_columns(pipe: DiffusionPipeline, prompt: str) -> list[list[int]]:
    """Return the columns of every space-separated word."""
    read = text_as_read(pipe, prompt)
    parts = [text_as_read(pipe, word) for word in prompt.split()]
    ends = [0]
    for part in parts:
        ends.append(read.index(part, ends[-1]) + len(part))
    columns: list[list[int]] = [[] for _ in parts]
    last = 0
    for column, token in enumerate(token_table(pipe, prompt)):
        if token.kind == "content":
            number = next(n for n, end in enumerate(ends[1:]) if token.span[0] < end)
            columns[number].append(column)
            last = token.span[1]
    if not columns or last < ends[-1]:
        raise TokenError(
            f"the model takes {pipe.tokenizer.model_max_length} tokens, which do not hold all "
            f"words of {prompt!r}; give a shorter prompt, and at least one word"
        )
    return columns


def _join(mapper: Alignment, source: list[int], target: list[int]) -> None:
    """Map a source word's columns to a target word's: one by one, or all evenly."""
    if len(source) == len(target):
        mapper[source, target] = 1
    else:
        mapper[np.ix_(source, target)] = 1 / len(target)


def _by_words(
    source: list[list[int]], target: list[list[int]], changed: list[int], length: int
) -> Alignment:
    """Map word by word, and all that follows the last word in order."""
    mapper = np.zeros((length, length))
    mapper[0, 0] = 1
    for old, new in zip(source, target, strict=True):
        _join(mapper, old, new)
    # End token and padding: one by one from the end token on; any excess goes to the last column.
    first, last = target[-1][-1] + 1, length - 1
    for number, column in enumerate(range(source[-1][-1] + 1, length)):
        mapper[column, min(first + number, last)] = 1
    return mapper


def _as_published(
    source: list[list[int]], target: list[list[int]], changed: list[int], length: int
) -> Alignment:
    """Map as Prompt-to-Prompt's code does."""
    mapper = np.zeros((length, length))
    old = new = 0
    for number in changed:
        while old < source[number][0]:
            mapper[old, new] = 1
            old, new = old + 1, new + 1
        _join(mapper, source[number], target[number])
        old, new = source[number][-1] + 1, target[number][-1] + 1
    # All later columns of the target lie on the diagonal, whatever came before them.
    rest = range(new, min(length, length - old + new))
    mapper[rest, rest] = 1
    return mapper
