"""Votes of sampled queries for the words of concepts: pure functions of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def lay_out(
    words: NDArray[np.int64], first_rows: NDArray[np.int64], tokens: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """Arrange drawn words as columns of attention: the sink's, then each word's tokens.

    Parameters
    ----------
    words : ndarray of int, shape (..., concept)
        Numbers of words.
    first_rows, tokens : ndarray of int, shape (word,)
        Each word's first row among the keys, in which the sink has row 0, and its rows.

    Returns
    -------
    rows : Tensor of int64, shape (..., column)
        The row of the keys that each column attends to.
    outside : Tensor of float32, shape (..., column)
        Minus infinity for columns after the last word, 0 elsewhere.
    weights : Tensor of float32, shape (..., column, concept)
        One over the tokens of the concept's word, in the columns that are its tokens.
    """
    lengths = tokens[words]
    ends = 1 + lengths.cumsum(axis=-1)
    column = np.arange(ends[..., -1].max())
    token = column - (ends - lengths)[..., None]
    inside = (token >= 0) & (token < lengths[..., None])
    rows = np.where(inside, first_rows[words][..., None] + token, 0).sum(axis=-2)
    outside = np.where(column < ends[..., -1:], np.float32(0), np.float32(-np.inf))
    weights = (inside / lengths[..., None]).astype(np.float32).swapaxes(-1, -2)
    return torch.from_numpy(rows), torch.from_numpy(outside), torch.from_numpy(weights)


def attention_to_concepts(
    queries: Tensor, keys: Tensor, outside: Tensor, weights: Tensor, *, parts: int
) -> Tensor:
    """Compute the mean attention of heads to one word of each concept, over parts of a sample.

    Parameters
    ----------
    queries : Tensor of float32, shape (block, layer, head, prompt, position, channel)
    keys : Tensor of float32, shape (block, layer, head, column, channel)
        Of the drawn words, times the scale of the scores.
    outside, weights : Tensor of float32, shapes (block, layer, column) and (..., column, concept)
        See `lay_out`.
    parts : int
        Of the positions, of equal size.

    Returns
    -------
    Tensor of float32, shape (block, layer, head, prompt, part, concept)
    """
    scores = torch.matmul(queries.flatten(3, 4), keys.transpose(-1, -2))
    maps = torch.softmax(scores.add_(outside[:, :, None, None]), dim=-1)
    means = maps.unflatten(3, (queries.shape[3], parts, -1)).mean(dim=5)
    return torch.matmul(means.flatten(2, 4), weights).unflatten(2, means.shape[2:5])


def winning(attention: Tensor, concepts: Tensor, correction: float) -> tuple[Tensor, Tensor]:
    """Tell whether concepts won a vote, and by how much small samples err.

    A sample of positions makes close votes noisy, which takes votes from those who win barely.
    The votes of half as large samples, which are twice as noisy, show how many: to first order as
    many as are lost between all positions and the sample, up to a factor (a jackknife).

    Parameters
    ----------
    attention : Tensor, shape (..., part, concept)
        Mean attention over one part that is all positions, or over the two halves of a sample.
    concepts : Tensor of int, shape (asked,)
        The concepts in question.
    correction : float
        The factor; 0 where all positions were seen.

    Returns
    -------
    won : Tensor of float32, shape (..., asked)
        1 or 0.
    lacking : Tensor of float32, shape (..., asked)
        What votes of all positions would have more, on the average.
    """
    won = (attention.mean(dim=-2).argmax(dim=-1, keepdim=True) == concepts).float()
    if not correction:
        return won, torch.zeros_like(won)
    halves = (attention.argmax(dim=-1, keepdim=True) == concepts).float().mean(dim=-2)
    return won, correction * (won - halves)


def correction_factor(positions: int, kept: int) -> float:
    """Return the factor by which the votes of half samples correct those of the whole sample.

    Without replacement, the variance of a mean over k of n positions is in proportion to
    1/k − 1/n: between a half sample and the sample it falls by 1/k, and by 1/k − 1/n from there
    to all positions.

    Parameters
    ----------
    positions, kept : int

    Returns
    -------
    float
        In [0, 1).

    Examples
    --------
    >>> correction_factor(64, 16), correction_factor(16, 16)
    (0.75, 0.0)
    """
    return 1 - kept / positions
