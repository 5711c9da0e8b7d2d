"""The words that win a head's vote: pure functions of its sampled queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.reservoir.estimates import corrected_shares, share_interval, variance_of_mean

if TYPE_CHECKING:
    from torch import Tensor

TOGETHER = 2**22  # scores that are computed together


class WordVotes(NamedTuple):
    """The words that won a head's votes, among all words of a vocabulary.

    Parameters
    ----------
    winners : ndarray of int, shape (prompt, timestep, 1 + part)
        By the mean over all kept positions, and over each part of them.
    attention : ndarray of float64, shape (word,)
        The head's mean attention to every word, mean over its tokens.
    """

    winners: NDArray[np.int64]
    attention: NDArray[np.float64]


def vote_for_words(
    queries: NDArray[np.float16], keys: Tensor, tokens: NDArray[np.int64], *, parts: int
) -> WordVotes:
    """Cast a head's votes among all words of a vocabulary, in one softmax with the sink.

    Parameters
    ----------
    queries : ndarray of float16, shape (prompt, timestep, position, channel)
    keys : Tensor of float32, shape (row, channel)
        The sink's and those of each word's tokens, times the scale of the scores.
    tokens : ndarray of int, shape (word,)
    parts : int
        Of the positions, of equal size.

    Returns
    -------
    WordVotes
    """
    prompts, timesteps, positions, _ = queries.shape
    word = torch.from_numpy(np.repeat(np.arange(len(tokens)), tokens))
    lengths = torch.from_numpy(tokens).float()
    at_once = max(1, TOGETHER // (timesteps * positions * len(keys)))
    winners = []
    attention = torch.zeros(len(tokens), dtype=torch.float64)
    for first in range(0, prompts, at_once):
        own = torch.from_numpy(queries[first : first + at_once]).float()
        maps = torch.softmax(own.flatten(0, 2) @ keys.T, dim=-1)[:, 1:]
        means = maps.unflatten(0, (-1, parts, positions // parts)).mean(dim=2)
        of_words = torch.zeros(*means.shape[:2], len(tokens))
        of_words.index_add_(2, word, means)
        of_words /= lengths
        whole = of_words.mean(dim=1, keepdim=True)
        attention += whole.double().sum(dim=(0, 1))
        winners.append(torch.cat([whole, of_words], dim=1).argmax(dim=-1))
    shape = (prompts, timesteps, 1 + parts)
    return WordVotes(
        torch.cat(winners).reshape(shape).numpy(), attention.numpy() / (prompts * timesteps)
    )


class RankedWords(NamedTuple):
    """Words from the one that wins most often, with 95 % intervals over prompts.

    Parameters
    ----------
    words : ndarray of int, shape (rank,)
    share, low, high : ndarray of float64, shape (rank,)
        Of the head's votes.
    """

    words: NDArray[np.int64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def rank_words(votes: WordVotes, correction: float, count: int) -> RankedWords:
    """Rank words by the share of a head's votes that they win; the others won none.

    Parameters
    ----------
    votes : WordVotes
    correction : float
        See `hrvlab.reservoir.kernel.correction_factor`.
    count : int
        The number of words.

    Returns
    -------
    RankedWords
        At most so many; among equal shares those with more attention first.
    """
    prompts, timesteps, _ = votes.winners.shape
    first = votes.winners[:, :, 0]
    found = np.unique(first)
    won = (first[..., None] == found).mean(axis=1)
    halves = (votes.winners[:, :, 1:, None] == found).mean(axis=(1, 2))
    lacking = correction * (won - halves)
    shares = corrected_shares(won, lacking)
    ends = share_interval(
        shares, variance_of_mean(won + lacking), prompts * timesteps, lacking.mean(axis=0)
    )
    order = np.lexsort([-votes.attention[found], -shares])[:count]
    return RankedWords(found[order], *(one[order] for one in (shares, *ends)))
