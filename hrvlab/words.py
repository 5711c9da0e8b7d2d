"""The words of a prompt in a capture: which token columns each has, and the attention they get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from math import ceil

import xarray as xr

from hrvlab.models.columns import words_in
from hrvlab.models.tokens import name_occurrence

CONTENT = "content"


def group_columns(
    kinds: Sequence[str], words: Sequence[str], numbers: Sequence[int]
) -> dict[str, list[int]]:
    """Group the token columns of a prompt by word, and those outside of its words by kind.

    Parameters
    ----------
    kinds : sequence of str, one for each token
        ``"content"`` for the tokens of words.
    words : sequence of str, one for each token
        The word that the token belongs to.
    numbers : sequence of int, one for each token
        The number of that word in the prompt, which tells two equal neighbors apart.

    Returns
    -------
    dict of str to list of int
        The columns of each part, in order. A part is named by its word, or by its kind, such as
        ``"⟨end⟩"``; from its second occurrence on with its number, as in ``"red (2)"``.

    Examples
    --------
    >>> kinds = ["start", "content", "content", "content", "end"]
    >>> group_columns(kinds, ["", "very", "very", "tall", ""], [-1, 0, 1, 2, -1])
    {'⟨start⟩': [0], 'very': [1], 'very (2)': [2], 'tall': [3], '⟨end⟩': [4]}
    """
    keys = list(zip(kinds, words, numbers, strict=True))
    runs = [(keys[run[0]], run) for run in _runs(keys)]
    names = [word if kind == CONTENT else f"⟨{kind}⟩" for (kind, word, _), _ in runs]
    labels = dict.fromkeys(range(len(runs)), "")
    occurrences: Counter[str] = Counter()
    # Kinds are named first: a word of the user's that looks like one gets a number.
    for part in sorted(labels, key=lambda part: runs[part][0][0] == CONTENT):
        occurrences[names[part]] += 1
        labels[part] = name_occurrence(names[part], occurrences[names[part]])
    return {labels[part]: run for part, (_, run) in enumerate(runs)}


def number_words(
    kinds: Sequence[str], words: Sequence[str], texts: Sequence[str], prompt: str
) -> list[int]:
    """Number the words that tokens belong to, for captures that did not.

    Equal neighbors have equal tokens, so that their columns are shared out evenly.

    Parameters
    ----------
    kinds, words : sequence of str, one for each token
        See `group_columns`.
    texts : sequence of str, one for each token
        The tokens as spelled in the vocabulary.
    prompt : str

    Returns
    -------
    list of int, one for each token
        -1 outside of the words.

    Examples
    --------
    >>> words = ["red,", "red,", "red,", "red,", "car"]
    >>> texts = ["red</w>", ",</w>", "red</w>", ",</w>", "car</w>"]
    >>> number_words(["content"] * 5, words, texts, "red, red, car")
    [0, 0, 1, 1, 2]
    """
    said = [(word, len(list(same))) for word, same in groupby(word for word, _ in words_in(prompt))]
    numbers = [-1] * len(words)
    first = 0
    for run in _runs(list(zip(kinds, words, strict=True))):
        if kinds[run[0]] != CONTENT:
            continue
        at = next((n for n, (word, _) in enumerate(said) if word == words[run[0]]), None)
        repeats = 1 if at is None else said[at][1]
        said = said if at is None else said[at + 1 :]
        length = _period([texts[column] for column in run], ceil(len(run) / repeats))
        for place, column in enumerate(run):
            numbers[column] = first + place // length
        first = numbers[run[-1]] + 1
    return numbers


def attention_by_word(dataset: xr.Dataset, prompt: int = 0) -> xr.DataArray:
    """Sum a prompt's attention over the tokens of each word.

    Parameters
    ----------
    dataset : xarray.Dataset
        From `capture`.
    prompt : int
        Number of the prompt.

    Returns
    -------
    xarray.DataArray
        Dims ``(timestep, layer, head, part)``. The parts are the start token, each word in order
        (a repeated word with its number, such as ``"red (2)"``), the end token and the padding;
        they sum to 1.

    Examples
    --------
    >>> captured = hl.capture(pipe, "a red, red car", num_inference_steps=2, progress=False)
    >>> by_word = hl.attention_by_word(captured)
    >>> by_word["part"].values.tolist()
    ['⟨start⟩', 'a', 'red,', 'red', 'car', '⟨end⟩', '⟨padding⟩']
    >>> float(by_word.sum("part").mean().round(3))
    1.0
    """
    one = dataset.isel(prompt=prompt)
    kinds, words, texts = (
        one[name].values.tolist() for name in ("token_kind", "word", "token_text")
    )
    if "word_number" in one.coords:
        numbers = one["word_number"].values.tolist()
    else:
        said = str(one["prompt_text"].item()) if "prompt_text" in one.coords else ""
        numbers = number_words(kinds, words, texts, said)
    parts = group_columns(kinds, words, numbers)
    sums = [
        one["attention"].isel(token=columns).sum("token", skipna=False)
        for columns in parts.values()
    ]
    return xr.concat(sums, dim="part").assign_coords(part=list(parts)).transpose(..., "part")


def _runs(keys: Sequence[object]) -> list[list[int]]:
    """Return the columns of each run of equal neighbors."""
    return [list(run) for _, run in groupby(range(len(keys)), key=keys.__getitem__)]


def _period(texts: Sequence[str], least: int) -> int:
    """Return the smallest number of tokens, of a least number on, after which texts repeat."""
    return next(n for n in range(least, len(texts) + 1) if texts[n:] == texts[: len(texts) - n])
