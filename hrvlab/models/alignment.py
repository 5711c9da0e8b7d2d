"""Which token columns of two prompts belong together, where some words were replaced."""

from __future__ import annotations

from typing import Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from hrvlab.errors import TokenError
from hrvlab.models.tokens import token_table
from hrvlab.typing import Alignment

Method = Literal["words", "published"]


def align(
    tokenizer: PreTrainedTokenizerBase, source: str, target: str, method: Method = "words"
) -> tuple[Alignment, list[int]]:
    """Align two prompts of as many words.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    source, target : str
        The target is the source with one or more words replaced.
    method : {"words", "published"}
        ``"words"`` moves all that follows a word of another number of tokens with it;
        ``"published"`` leaves it where it was, as Prompt-to-Prompt's code does.

    Returns
    -------
    mapper : ndarray of float64, shape (source token, target token)
        How much of a source column's attention a target column takes over.
    replaced : list of int
        Columns of the target's new words.

    Raises
    ------
    TokenError
        If the prompts differ in their number of words, are the same, or are cut off.
    """
    words = [_word_columns(tokenizer, prompt) for prompt in (source, target)]
    texts = [prompt.split() for prompt in (source, target)]
    if len(texts[0]) != len(texts[1]):
        raise TokenError(
            f"the source has {len(texts[0])} words and the target {len(texts[1])}; replace word by "
            f"word: {source!r}, {target!r}"
        )
    changed = [n for n, (a, b) in enumerate(zip(*texts, strict=True)) if a != b]
    if not changed:
        raise TokenError(f"source and target are both {source!r}; replace at least one word")
    replaced = [column for number in changed for column in words[1][number]]
    build = _by_words if method == "words" else _as_published
    mapper = build(words[0], words[1], changed, tokenizer.model_max_length)
    return mapper, replaced


def _word_columns(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[list[int]]:
    """Give the columns of every space-separated word."""
    columns: list[list[int]] = [[] for _ in prompt.split()]
    starts = [0]
    for word in prompt.split():
        starts.append(prompt.index(word, starts[-1]) + len(word))
    read = 0
    for column, token in enumerate(token_table(tokenizer, prompt)):
        if token.kind == "content":
            number = next(n for n, end in enumerate(starts[1:]) if token.span[0] < end)
            columns[number].append(column)
            read = token.span[1]
    if not columns or read < starts[-1]:
        raise TokenError(
            f"the model reads {tokenizer.model_max_length} tokens, which do not hold all words of "
            f"{prompt!r}; give a shorter prompt, and at least one word"
        )
    return columns


def _join(mapper: Alignment, source: list[int], target: list[int]) -> None:
    """Let a word's columns take over another's: one by one, or all evenly."""
    if len(source) == len(target):
        mapper[source, target] = 1
    else:
        mapper[np.ix_(source, target)] = 1 / len(target)


def _by_words(
    source: list[list[int]], target: list[list[int]], changed: list[int], length: int
) -> Alignment:
    mapper = np.zeros((length, length))
    mapper[0, 0] = 1
    for theirs, ours in zip(source, target, strict=True):
        _join(mapper, theirs, ours)
    # The end and the padding: one by one from the end on; what is left over joins the last.
    first, last = target[-1][-1] + 1, length - 1
    for number, column in enumerate(range(source[-1][-1] + 1, length)):
        mapper[column, min(first + number, last)] = 1
    return mapper


def _as_published(
    source: list[list[int]], target: list[list[int]], changed: list[int], length: int
) -> Alignment:
    mapper = np.zeros((length, length))
    theirs = ours = 0
    for number in changed:
        while theirs < source[number][0]:
            mapper[theirs, ours] = 1
            theirs, ours = theirs + 1, ours + 1
        _join(mapper, source[number], target[number])
        theirs, ours = source[number][-1] + 1, target[number][-1] + 1
    # Later words stay on the diagonal of the target, whatever came before them.
    rest = range(ours, min(length, length - theirs + ours))
    mapper[rest, rest] = 1
    return mapper
