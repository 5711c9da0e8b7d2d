"""What is drawn for a pool: the denoiser calls of every prompt, and positions of every head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Counters of the random generator, beside that of the words that stand for concepts.
POSITIONS, CALLS, WORDS = 1, 2, 3


def generator(seed: int, prompt_index: int, *counter: int) -> np.random.Generator:
    """Return a generator of random numbers that depend on this key alone.

    Parameters
    ----------
    seed, prompt_index : int
    *counter : int
        What is drawn, and up to two further numbers.
    """
    numbers = [*counter, 0, 0][:3]
    bits = np.random.Philox(key=[seed, prompt_index], counter=[0, *numbers])
    return np.random.Generator(bits)


def draw_calls(seed: int, prompt_index: int, calls: int, count: int) -> NDArray[np.int64]:
    """Draw some of a prompt's denoiser calls, at equal distances from a random first one.

    Every call is as likely as any other, so that many prompts together see the whole run evenly.

    Parameters
    ----------
    seed, prompt_index : int
    calls : int
        Of the whole run.
    count : int
        At most as many as there are.

    Returns
    -------
    ndarray of int64, shape (count,)
        In ascending order.
    """
    start = generator(seed, prompt_index, CALLS).random()
    drawn = np.floor((np.arange(count) + start) * calls / count)
    return drawn.astype(np.int64)


def draw_positions(
    seed: int,
    prompt_indices: Sequence[int] | NDArray[np.int64],
    call: int,
    group: int,
    *,
    shape: tuple[int, int],
    positions: int,
    count: int,
) -> NDArray[np.int64]:
    """Draw positions of the grid for each head of some layers, without replacement.

    Any beginning of a head's positions is a sample of the same kind.

    Parameters
    ----------
    seed : int
    prompt_indices : sequence of int
    call, group : int
        With the seed and each prompt's number, the key of the random generator.
    shape : tuple of int
        Number of layers, and of heads of each.
    positions : int
        Of the grid.
    count : int
        At most as many.

    Returns
    -------
    ndarray of int64, shape (prompt, layer, head, count)
    """
    generators = [generator(seed, prompt, POSITIONS, call, group) for prompt in prompt_indices]
    uniform = np.stack([random.random((count, *shape)) for random in generators])
    order = np.stack([random.random((*shape, count)) for random in generators])
    chosen = np.empty(order.shape, np.int64)
    # Floyd's algorithm: a number that was drawn before gives way to the largest so far.
    for number, largest in enumerate(range(positions - count, positions)):
        drawn = (uniform[:, number] * (largest + 1)).astype(np.int64)
        again = (chosen[..., :number] == drawn[..., None]).any(axis=-1)
        chosen[..., number] = np.where(again, largest, drawn)
    return np.take_along_axis(chosen, order.argsort(axis=-1), axis=-1)


def draw_concept_words(
    seed: int, layer: int, blocks: int, draws: int, words_per_concept: Sequence[int]
) -> NDArray[np.int64]:
    """Draw words of concepts for blocks of queries, so that all words are drawn equally often.

    Every concept's words follow one another in random orders, again and again; a block takes the
    next of them. Of a single draw, every word is as likely as any other.

    Parameters
    ----------
    seed, layer : int
        The key of the random generator.
    blocks : int
    draws : int
        Of each block.
    words_per_concept : sequence of int

    Returns
    -------
    ndarray of int64, shape (block, draw, concept)
        Numbers of words within their concepts. A column does not depend on other concepts.
    """
    columns = []
    for number, count in enumerate(words_per_concept):
        rounds = -(-blocks * draws // count)
        random = generator(seed, 0, WORDS, layer, number).random((rounds, count))
        columns.append(random.argsort(axis=-1).reshape(-1)[: blocks * draws])
    return np.stack(columns, axis=-1).reshape(blocks, draws, -1)
