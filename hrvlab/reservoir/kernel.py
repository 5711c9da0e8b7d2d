"""Votes of sampled queries for the words of concepts: pure functions of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding

if TYPE_CHECKING:
    from torch import Tensor


class Columns(NamedTuple):
    """Drawn words as columns of attention: the sink's, each word's first token, further tokens.

    Parameters
    ----------
    rows : Tensor of int64, shape (block, draw, column)
        The row of the keys that each column attends to.
    outside : Tensor of float32, shape (block, draw, further token)
        Minus infinity for columns after the last token, 0 elsewhere.
    owners : Tensor of int64, shape (block, draw, further token)
        The concept that each further token belongs to.
    tokens : Tensor of float32, shape (block, draw, concept)
        Number of tokens of each word.
    """

    rows: Tensor
    outside: Tensor
    owners: Tensor
    tokens: Tensor


def lay_out(
    words: NDArray[np.int64], first_rows: NDArray[np.int64], tokens: NDArray[np.int64]
) -> Columns:
    """Arrange drawn words as columns of attention.

    Parameters
    ----------
    words : ndarray of int, shape (block, draw, concept)
        Numbers of words.
    first_rows, tokens : ndarray of int, shape (word,)
        Each word's first row among the keys, in which the sink has row 0, and its rows.

    Returns
    -------
    Columns
    """
    *shape, concepts = words.shape
    further = (tokens[words] - 1).reshape(-1, concepts)
    count = further.sum(axis=1)
    inside = np.arange(count.max()) < count[:, None]
    each = further.ravel()
    token = np.arange(each.sum()) - np.repeat(each.cumsum() - each, each)
    owners, further_rows = np.zeros((2, *inside.shape), np.int64)
    owners[inside] = np.repeat(np.tile(np.arange(concepts), len(further)), each)
    further_rows[inside] = np.repeat(first_rows[words].ravel(), each) + 1 + token
    sink = np.zeros((*shape, 1), np.int64)
    rows = np.concatenate([sink, first_rows[words], further_rows.reshape(*shape, -1)], axis=-1)
    outside = np.where(inside, np.float32(0), np.float32(-np.inf)).reshape(*shape, -1)
    return Columns(
        torch.from_numpy(rows),
        torch.from_numpy(outside),
        torch.from_numpy(owners.reshape(*shape, -1)),
        torch.from_numpy(tokens[words]).float(),
    )


def attention_to_concepts(queries: Tensor, keys: Tensor, columns: Columns, *, parts: int) -> Tensor:
    """Compute the mean attention of heads to one word of each concept, over parts of a sample.

    Parameters
    ----------
    queries : Tensor of float32, shape (block, head, position, channel)
    keys : Tensor of float32, shape (head, row, channel)
        Of all words, times the scale of the scores.
    columns : Columns
        The words that are drawn for each block.
    parts : int
        Of the positions, of equal size.

    Returns
    -------
    Tensor of float32, shape (block, head, draw, part, concept)
    """
    heads, of_words, channels = keys.shape
    positions, concepts = queries.shape[2], columns.tokens.shape[-1]
    # Rows of a single table are copied many times faster than they are found by head and row.
    first = torch.arange(heads)[:, None] * of_words
    drawn = embedding(columns.rows.flatten(1)[:, None] + first, keys.reshape(-1, channels))
    # With all positions side by side, operations along the columns are several times faster.
    scores = torch.matmul(drawn, queries.transpose(2, 3)).unflatten(2, columns.rows.shape[1:])
    if columns.owners.numel():
        scores[:, :, :, 1 + concepts :] += columns.outside[:, None, ..., None]
    maps = torch.softmax(scores, dim=3)
    in_part = torch.eye(parts).repeat_interleave(positions // parts, dim=0) * parts / positions
    means = torch.matmul(maps, in_part).transpose(3, 4)
    attention = means[..., 1 : 1 + concepts].contiguous()
    if columns.owners.numel():
        further = means[..., 1 + concepts :]
        owners = columns.owners[:, None, :, None].expand(further.shape)
        attention.scatter_add_(4, owners, further)
        attention /= columns.tokens[:, None, :, None]
    return attention


def winners(attention: Tensor) -> Tensor:
    """Find the concepts that win votes: of the whole sample, and of its two halves.

    Parameters
    ----------
    attention : Tensor, shape (..., part, concept)
        Mean attention over one part that is all positions, or over the two halves of a sample.

    Returns
    -------
    Tensor of int64, shape (..., vote)
        The whole sample's, and those of the parts if there are two.
    """
    whole = attention.mean(dim=-2, keepdim=True).argmax(dim=-1)
    return whole if attention.shape[-2] == 1 else torch.cat([whole, attention.argmax(dim=-1)], -1)


def shares(won: Tensor, concepts: int) -> Tensor:
    """Compute the share of votes that each concept wins.

    Parameters
    ----------
    won : Tensor of int64, shape (row, vote)
        From `winners`.
    concepts : int

    Returns
    -------
    Tensor of float32, shape (row, concept)
    """
    rows, votes = won.shape
    places = won + torch.arange(rows)[:, None] * concepts
    return torch.bincount(places.flatten(), minlength=rows * concepts).view(rows, -1) / votes


def correction_factor(positions: int, kept: int) -> float:
    """Return the factor by which the votes of half samples correct those of the whole sample.

    A sample of positions makes close votes noisy, which takes votes from those who win barely.
    The votes of half as large samples, which are twice as noisy, show how many: to first order as
    many as are lost between all positions and the sample, up to a factor (a jackknife).

    Without replacement, the variance of a mean over k of n positions is in proportion to
    1/k − 1/n: between a half sample and the sample it falls by 1/k, and by 1/k − 1/n from there
    to all positions.

    Parameters
    ----------
    positions, kept : int

    Returns
    -------
    float
        In [0, 1); 0 where all positions were seen.

    Examples
    --------
    >>> correction_factor(64, 16), correction_factor(16, 16)
    (0.75, 0.0)
    """
    return 1 - kept / positions
