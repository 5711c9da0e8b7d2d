"""The alignment of the token columns of two prompts that differ in some of their words."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hrvlab.errors import TokenError
from hrvlab.models.families import family_of
from hrvlab.models.tokens import prompt_words, token_table

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.typing import Alignment

Method = Literal["words", "published"]
Word = tuple[int, ...]  # its tokens, by their numbers in the vocabulary


@dataclass(frozen=True)
class Aligned:
    """The token columns of a target prompt, aligned with those of its source.

    Parameters
    ----------
    mapper : ndarray of float64, shape (source token, target token)
        The share of a source column's attention that a target column receives.
    new : list of int
        Columns of the target's new words.
    added : list of int
        Those of them that receive nothing from the source.
    """

    mapper: Alignment
    new: list[int]
    added: list[int]


def align(pipe: DiffusionPipeline, source: str, target: str, method: Method = "words") -> Aligned:
    """Align the token columns of two prompts that differ in some of their words.

    Words that both prompts have keep their columns. Between them, words that are replaced by
    equally many others hand theirs over one by one, as in the word swap of Prompt-to-Prompt. Words
    that are added, or that replace another number of words, receive nothing, and the columns of
    those that are dropped go to none, as in its prompt refinement.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    source, target : str
        The target is the source with words replaced, added or dropped.
    method : {"words", "published"}
        Where a word is replaced by one with another number of tokens, ``"words"`` shifts all later
        words accordingly; ``"published"`` does not, as in the code of Prompt-to-Prompt's word swap,
        and takes only prompts with equally many words.

    Returns
    -------
    Aligned

    Raises
    ------
    ModelError
        If attention injection is not defined for the pipeline's family.
    TokenError
        If the prompts have the same tokens or are truncated, or their numbers of words differ
        though the method does not allow it.

    Notes
    -----
    Prompt-to-Prompt: Section 3.2 of arXiv 2208.01626.
    """
    family_of(pipe).check_method("attention injection")
    (old, old_columns), (new, new_columns) = (
        _words(pipe, prompt, whole=method == "published") for prompt in (source, target)
    )
    if old == new:
        raise TokenError(
            f"to the model, source and target are both {target!r}; replace, add or drop a word"
        )
    length = pipe.tokenizer.model_max_length
    if method == "published":
        if len(old) != len(new):
            raise TokenError(
                f"the source has {len(old)} words and the target {len(new)}, which the published "
                f"alignment does not take; leave it out: {source!r}, {target!r}"
            )
        changed = [number for number, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        mapper = _as_published(old_columns, new_columns, changed, length)
        return Aligned(mapper, [column for n in changed for column in new_columns[n]], [])
    kept = kept_words(old, new)
    swapped, added = _between(kept, len(old), len(new))
    mapper = _by_words(old_columns, new_columns, sorted([*kept, *swapped]), length)
    without = [column for n in added for column in new_columns[n]]
    handed = [column for _, n in swapped for column in new_columns[n]]
    return Aligned(mapper, sorted([*handed, *without]), without)


def kept_words(source: Sequence[Hashable], target: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Align two sequences of words, so that as many as possible are kept.

    Of several such alignments, one with the fewest words added and dropped is returned. The
    algorithm is that of Needleman and Wunsch.

    Parameters
    ----------
    source, target : sequence of hashable

    Returns
    -------
    list of tuple of int
        The numbers of each kept word in the source and in the target, in order.

    Examples
    --------
    >>> from hrvlab.models.alignment import kept_words
    >>> kept_words(["a", "red", "car"], ["a", "car"])
    [(0, 0), (2, 1)]
    """
    rows, width = len(source), len(target)
    match = rows + width + 1  # outweighs all gaps together
    scores = np.zeros((rows + 1, width + 1), np.int64)
    scores[:, 0], scores[0] = -np.arange(rows + 1), -np.arange(width + 1)
    for i, old in enumerate(source):
        for j, new in enumerate(target):
            paired = scores[i, j] + match * (old == new)
            scores[i + 1, j + 1] = max(paired, scores[i, j + 1] - 1, scores[i + 1, j] - 1)
    kept = []
    i, j = rows, width
    while i and j:
        same = source[i - 1] == target[j - 1]
        if scores[i, j] == scores[i - 1, j - 1] + match * same:
            i, j = i - 1, j - 1
            if same:
                kept.append((i, j))
        elif scores[i, j] == scores[i - 1, j] - 1:
            i -= 1
        else:
            j -= 1
    return kept[::-1]


def _between(
    kept: Sequence[tuple[int, int]], source: int, target: int
) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the words that are swapped, between kept ones, and those that are added."""
    swapped: list[tuple[int, int]] = []
    added: list[int] = []
    i = j = 0
    for old, new in [*kept, (source, target)]:
        if old - i == new - j:
            swapped += zip(range(i, old), range(j, new), strict=True)
        else:
            added += range(j, new)
        i, j = old + 1, new + 1
    return swapped, added


def _words(
    pipe: DiffusionPipeline, prompt: str, *, whole: bool
) -> tuple[list[Word], list[list[int]]]:
    """Return the tokens and the columns of every word; punctuation around it is apart from it."""
    read, table = family_of(pipe).read(pipe, prompt), token_table(pipe, prompt)
    words = prompt_words(pipe, prompt)
    if not words or not all(word.whole for word in words):
        raise TokenError(
            f"the model takes {len(table)} tokens, which do not hold all words of {prompt!r}; give "
            "a shorter prompt, and at least one word"
        )
    columns = [word.columns for word in words]
    if not whole:
        letters = {
            column: bool(re.search(r"\w", read[slice(*table[column].span)]))
            for own in columns
            for column in own
        }
        columns = [part for own in columns for part in _without_ends(own, letters)]
    return [tuple(table[column].number for column in own) for own in columns], columns


def _without_ends(columns: list[int], letters: Mapping[int, bool]) -> list[list[int]]:
    """Split a word's columns into those before its letters, those from first to last, the rest."""
    inner = [column for column in columns if letters[column]]
    if not inner:
        return [columns]
    parts = [
        [column for column in columns if column < inner[0]],
        [column for column in columns if inner[0] <= column <= inner[-1]],
        [column for column in columns if column > inner[-1]],
    ]
    return [part for part in parts if part]


def _join(mapper: Alignment, source: list[int], target: list[int]) -> None:
    """Map a source word's columns to a target word's: one by one, or all evenly."""
    if len(source) == len(target):
        mapper[source, target] = 1
    else:
        mapper[np.ix_(source, target)] = 1 / len(target)


def _by_words(
    source: list[list[int]], target: list[list[int]], pairs: list[tuple[int, int]], length: int
) -> Alignment:
    """Map pairs of words, and all that follows the last word in order."""
    mapper = np.zeros((length, length))
    mapper[0, 0] = 1
    for old, new in pairs:
        _join(mapper, source[old], target[new])
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
