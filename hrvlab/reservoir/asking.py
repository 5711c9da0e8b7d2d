"""Cast the votes of a pool's queries for concepts, without the model."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.reservoir.draws import draw_concept_words
from hrvlab.reservoir.kernel import (
    attention_to_concepts,
    correction_factor,
    lay_out,
    shares,
    winners,
)

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.reservoir.groups import LayerGroup
    from hrvlab.reservoir.keymaps import KeyMaps
    from hrvlab.storage.shards import Shards

# Of words for every prompt and call, as many votes: of sampled positions, which add an error of
# their own, and of whole grids.
DRAWS, DRAWS_OF_WHOLE = 4, 2
SCORES = 2**30  # that a question computes at most, by fewer draws in pools of the largest models
# Scores that are computed together: few enough for a processor's caches, and many enough for
# operations to take longer than to start.
TOGETHER = 2**19
READ = 2**21  # values that are read together


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
        sample of positions, see `hrvlab.reservoir.kernel.correction_factor`.
    """
    prompts, timesteps = shards.shape(groups[0].queries)[:2]
    votes = np.zeros((2, prompts, head_positions, len(asked)), np.float32)
    counts = [len(own) for own in words.of_concepts]
    numbers = np.zeros((len(counts), max(counts)), np.int64)
    for concept, own in enumerate(words.of_concepts):
        numbers[concept, : len(own)] = own
    columns = 1 + len(counts)
    queries = sum(math.prod(shards.shape(group.queries)[:-1]) for group in groups)
    most = max(SCORES // (queries * columns), 1)
    for group in groups:
        draws = min(most, DRAWS if group.kept < group.positions else DRAWS_OF_WHOLE)
        drawn = [
            numbers[np.arange(len(counts)), one]
            for one in (
                draw_concept_words(seed, layer, prompts * timesteps, draws, counts)
                for layer in group.layers
            )
        ]
        _cast_group(votes, shards, group, maps.keys(group, words.states), words, drawn, asked)
    return votes


def _cast_group(
    votes: NDArray[np.float32],
    shards: Shards,
    group: LayerGroup,
    keys: Tensor,
    words: Words,
    drawn: Sequence[NDArray[np.int64]],
    asked: Sequence[int],
) -> None:
    """Cast the votes of a group of layers, part by part; some parts are computed side by side."""
    timesteps = shards.shape(group.queries)[1]

    def cast(part: tuple[slice, slice]) -> None:
        rows, layers = part
        read = torch.from_numpy(shards.read(group.queries, rows, slice(None), layers))
        blocks = slice(rows.start * timesteps, rows.stop * timesteps)
        for number, layer in enumerate(range(layers.start, layers.stop)):
            start = group.starts[layer]
            votes[:, rows, start : start + group.heads] = _votes(
                read[:, :, number], keys[layer], words, drawn[layer][blocks], group, asked
            )

    # At least two, as reading waits for the disk; each writes votes of its own.
    workers = max(2, (os.cpu_count() or 1) // torch.get_num_threads())
    with ThreadPoolExecutor(workers) as pool:
        deque(pool.map(cast, _parts(shards, group)), maxlen=0)


def _parts(shards: Shards, group: LayerGroup) -> Iterator[tuple[slice, slice]]:
    """Iterate over the rows and layers of a group's queries that are read together."""
    timesteps, count = shards.shape(group.queries)[1:3]
    units = list(shards.units(group.queries))
    of_layer = units[0].stop * timesteps * math.prod(group.shape[1:])
    layers_together = max(1, min(READ // of_layer, count))
    units_together = max(1, READ // (of_layer * count))
    for some in (units[n : n + units_together] for n in range(0, len(units), units_together)):
        for first in range(0, count, layers_together):
            layers = slice(first, min(first + layers_together, count))
            yield slice(some[0].start, some[-1].stop), layers


def _votes(
    queries: Tensor,
    keys: Tensor,
    words: Words,
    drawn: NDArray[np.int64],
    group: LayerGroup,
    asked: Sequence[int],
) -> NDArray[np.float32]:
    """Cast the votes of one layer's queries, shape (2, prompt, head, asked)."""
    prompts, timesteps = queries.shape[:2]
    factor = correction_factor(group.positions, group.kept)
    concepts = drawn.shape[-1]
    parts = math.ceil(math.prod(group.shape[1:3]) * drawn.size / TOGETHER)
    at_once = math.ceil(len(drawn) / parts)
    won = []
    for first in range(0, len(drawn), at_once):
        blocks = slice(first, first + at_once)
        attention = attention_to_concepts(
            queries.flatten(0, 1)[blocks].float(),
            keys,
            lay_out(drawn[blocks], words.first_rows, words.tokens),
            parts=2 if factor else 1,
        )
        won.append(winners(attention))
    # (prompt, head, timestep, draw, vote)
    every = torch.cat(won).unflatten(0, (prompts, timesteps)).transpose(1, 2).flatten(0, 1)
    whole = shares(every[..., 0].flatten(1), concepts)[:, asked]
    halves = shares(every[..., 1:].flatten(1), concepts)[:, asked] if factor else whole
    found = torch.stack([whole, factor * (whole - halves)])
    return found.unflatten(1, (prompts, group.heads)).numpy()
