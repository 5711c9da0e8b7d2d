"""Cast the votes of a pool's queries for concepts, without the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.reservoir.draws import draw_concept_words
from hrvlab.reservoir.kernel import attention_to_concepts, correction_factor, lay_out, winning

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.reservoir.groups import LayerGroup
    from hrvlab.reservoir.keymaps import KeyMaps
    from hrvlab.storage.shards import Shards

DRAWS = 4  # of words for every prompt and call, as many independent votes
# Scores that are computed together: small enough for a processor's caches, and large enough for
# operations to take longer than to start.
TOGETHER = 2**22


@dataclass(frozen=True)
class Words:
    """The words of all concepts in question, as rows of text states.

    Parameters
    ----------
    states : ndarray of float, shape (row, state)
        The sink's, then those of each word's tokens.
    tokens : ndarray of int, shape (word,)
    of_concepts : tuple of tuple of int
        For each concept, the numbers of its words.
    """

    states: NDArray[np.floating]
    tokens: NDArray[np.int64]
    of_concepts: tuple[tuple[int, ...], ...]

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """Each word's first row."""
        return 1 + self.tokens.cumsum() - self.tokens


def cast_votes(
    shards: Shards,
    groups: Sequence[LayerGroup],
    maps: KeyMaps,
    words: Words,
    asked: Sequence[int],
    *,
    seed: int,
    head_positions: int,
) -> NDArray[np.float32]:
    """Cast the votes of all sampled queries among concepts, and keep those for some of them.

    Every prompt has words of its own in every call, so that prompts stay independent.

    Parameters
    ----------
    shards : Shards
    groups : sequence of LayerGroup
    maps : KeyMaps
    words : Words
    asked : sequence of int
        Numbers of the concepts whose votes are returned.
    seed : int
        Of the drawn words.
    head_positions : int

    Returns
    -------
    ndarray of float32, shape (2, prompt, head_position, asked)
        The share of a prompt's sampled votes that the concept got, and by how much it errs for the
        sample of positions, see `hrvlab.reservoir.kernel.winning`.
    """
    prompts, timesteps = shards.shape(groups[0].queries)[:2]
    votes = np.zeros((2, prompts, head_positions, len(asked)), np.float32)
    counts = [len(own) for own in words.of_concepts]
    numbers = np.zeros((len(counts), max(counts)), np.int64)
    for concept, own in enumerate(words.of_concepts):
        numbers[concept, : len(own)] = own
    for group in groups:
        keys = maps.keys(group, words.states)
        drawn = np.stack(
            [
                draw_concept_words(seed, layer, prompts * timesteps, DRAWS, counts)
                for layer in group.layers
            ],
            axis=1,
        )
        drawn = numbers[np.arange(len(counts)), drawn]  # (block, layer, draw, concept)
        width = 1 + round(len(counts) * words.tokens.mean())
        for rows in _chunks(shards, group, width):
            won = _votes_of_chunk(
                shards.read(group.queries, rows),
                group,
                keys,
                words,
                drawn[rows.start * timesteps : rows.stop * timesteps],
                torch.tensor(asked),
            )
            for layer, start in enumerate(group.starts):
                votes[:, rows, start : start + group.heads] = won[:, :, layer]
    return votes


def _chunks(shards: Shards, group: LayerGroup, width: int) -> Iterator[slice]:
    """Join the rows of batches while their scores are few."""
    units = list(shards.units(group.queries))
    timesteps = shards.shape(group.queries)[1]
    scores = (units[0].stop - units[0].start) * timesteps * math.prod(group.shape[:3]) * width
    together = max(1, TOGETHER // scores)
    for first in range(0, len(units), together):
        some = units[first : first + together]
        yield slice(some[0].start, some[-1].stop)


def _votes_of_chunk(
    queries: NDArray[np.float16],
    group: LayerGroup,
    keys: Tensor,
    words: Words,
    drawn: NDArray[np.int64],
    asked: Tensor,
) -> NDArray[np.float32]:
    """Cast the votes of a chunk, shape (2, prompt, layer, head, asked)."""
    prompts, timesteps = queries.shape[:2]
    # (prompt, timestep, layer, head, 1, position, channel)
    blocks = torch.from_numpy(queries)[:, :, :, :, None]
    factor = correction_factor(group.positions, group.kept)
    votes = torch.zeros(2, prompts, *group.shape[:2], len(asked))
    per_layer = blocks[:, :, 0, ..., 0].numel() * len(words.of_concepts)
    layers_at_once = max(1, TOGETHER // per_layer)
    for first in range(0, len(group.layers), layers_at_once):
        layers = slice(first, min(first + layers_at_once, len(group.layers)))
        own = blocks[:, :, layers].float().flatten(0, 1)
        for draw in range(drawn.shape[2]):
            rows, outside, weights = lay_out(drawn[:, layers, draw], words.first_rows, words.tokens)
            number = torch.arange(layers.start, layers.stop)[:, None, None]
            heads = torch.arange(group.heads)[:, None]
            of_words = keys[number, heads, rows[:, :, None]]
            attention = attention_to_concepts(
                own, of_words, outside, weights, parts=2 if factor else 1
            )
            for kind, found in enumerate(winning(attention[:, :, :, 0], asked, factor)):
                votes[kind, :, layers] += found.unflatten(0, (prompts, timesteps)).sum(dim=1)
    return (votes / (timesteps * drawn.shape[2])).numpy()
