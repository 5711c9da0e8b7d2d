"""The words that stand for concepts, drawn at random for every call and layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_words(
    seed: int, prompt_index: int, call: int, layers: int, words_per_concept: Sequence[int]
) -> NDArray[np.int64]:
    """Draw one word of each concept for every layer.

    Parameters
    ----------
    seed, prompt_index, call : int
        The key of the random generator: the draws depend on nothing else.
    layers : int
        Number of layers.
    words_per_concept : sequence of int

    Returns
    -------
    ndarray of int64, shape (layer, concept)
        A column does not depend on the concepts after its own.
    """
    bits = np.random.Philox(key=[seed, prompt_index], counter=[0, 0, call, 0])
    uniform = np.random.Generator(bits).random((len(words_per_concept), layers)).T
    return (uniform * np.asarray(words_per_concept)).astype(np.int64)
