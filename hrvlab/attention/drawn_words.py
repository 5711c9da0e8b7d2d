"""Attention of heads to words that are drawn anew for every call, layer and sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.attention.word_keys import WordKeys

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor, nn

    from hrvlab.models.families import WordEncodings
    from hrvlab.models.layers import Layer
    from hrvlab.typing import Query

# Small layers and calls are computed together until their attention has so many rows: operations
# take longer to start than to run, but those whose results leave the caches take longer still.
TOGETHER = 2**13


class DrawnWords(NamedTuple):
    """Words of some calls as columns of attention: the start token's, then each word's tokens.

    Parameters
    ----------
    order : list of int
        The calls in the order of their numbers of columns, in which all else is given.
    widths : list of int
        The number of columns of each call, up to the last word of any of its samples and layers.
    rows : Tensor of int64, shape (call, layer, sample, column)
        The row of the layer's keys that each column attends to.
    outside : Tensor of float32, shape (call, layer, sample, 1, 1, column)
        Minus infinity at the columns that take no part in the softmax: those after a sample's last
        word, and possibly the start token; 0 elsewhere.
    columns : Tensor of int64, shape (call, layer, sample, 1, concept * token)
        The column of every token.
    weights : Tensor of float32, shape (call, layer, sample, 1, concept, token)
        One over the word's number of tokens, and 0 for tokens that the word does not have.
    """

    order: list[int]
    widths: list[int]
    rows: Tensor
    outside: Tensor
    columns: Tensor
    weights: Tensor


class WordTable:
    """The tokens of all words.

    Parameters
    ----------
    words : WordEncodings
        All words, the first concept's first.
    words_per_concept : sequence of int
    start : bool
        Whether the start token takes part in the softmax.
    """

    def __init__(
        self, words: WordEncodings, words_per_concept: Sequence[int], *, start: bool
    ) -> None:
        self._start = start
        length = np.array([len(states) for states in words.content])
        token = np.arange(length.max())
        # Row 0 of the keys is the start token; each word's rows follow.
        first_row = 1 + np.cumsum(length) - length
        self._length = length
        self._is_token = token < length[:, None]
        self._rows = first_row[:, None] + token
        self._weights = (self._is_token / length[:, None]).astype(np.float32)
        self._first_word = np.cumsum(words_per_concept) - words_per_concept

    def look_up(self, drawn: NDArray[np.int64], device: torch.device) -> DrawnWords:
        """Arrange drawn words, given by their numbers within concepts, as columns.

        Parameters
        ----------
        drawn : ndarray of int, shape (call, layer, sample, concept)
        device : torch.device
        """
        words = self._first_word + drawn
        widths = 1 + self._length[words].sum(axis=-1).max(axis=(1, 2))
        order = widths.argsort(kind="stable")
        words = words[order]
        is_token = self._is_token[words]
        columns = is_token.reshape(*words.shape[:3], -1).cumsum(axis=-1)
        last = columns[..., -1:]
        column = np.arange(last.max() + 1)
        inside = column <= last
        outside = np.where(inside, np.float32(0), np.float32(-np.inf))
        if not self._start:
            outside[..., 0] = -np.inf
        rows = np.zeros(inside.shape, np.int64)
        inside[..., 0] = False
        rows[inside] = self._rows[words][is_token]
        return DrawnWords(
            order.tolist(),
            widths[order].tolist(),
            *(
                torch.from_numpy(values).to(device)
                for values in (
                    rows,
                    outside[..., None, None, :],
                    columns[..., None, :],
                    self._weights[words][..., None, :, :],
                )
            ),
        )


class LayersAlike:
    """Layers with as many heads, dims and positions, which can be computed together.

    Parameters
    ----------
    layers : sequence of Layer
        In forward order.
    modules : sequence of Attention
    states : Tensor, shape (row, dim)
        Text states of the start token and of all words' tokens.
    through : sequence of torch.nn.Module
        See `WordKeys`.
    first : int
        The place of the first of them in the words drawn.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        modules: Sequence[Attention],
        states: Tensor,
        through: Sequence[nn.Module],
        first: int,
    ) -> None:
        self.layers = layers
        self.keys = WordKeys(modules, layers, states, through)
        self._first = first

    def attend(
        self, calls: Sequence[Mapping[int, Query]], words: DrawnWords
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Compute the mean attention of heads to the tokens of each concept's word.

        Parameters
        ----------
        calls : sequence of mapping of int to Tensor, each (sample, head, position, dim)
            For each call queries by the layer's index: of some of these layers in succession, the
            same in every call, and of others.
        words : DrawnWords
            Of the same calls.

        Yields
        ------
        call : int
            Its place among the calls.
        layer : int
            The layer's index.
        mass : Tensor of float32, shape (sample, head, concept)
        """
        own = [number for number, layer in enumerate(self.layers) if layer.index in calls[0]]
        if not own:
            return
        rows = calls[0][self.layers[own[0]].index][..., 0].numel()
        layers_at_once = max(1, min(len(own), TOGETHER // rows))
        calls_at_once = max(1, TOGETHER // (rows * layers_at_once))
        for width, equal in groupby(range(len(words.widths)), words.widths.__getitem__):
            for some_calls in _parts(list(equal), calls_at_once):
                for some_layers in _parts(own, layers_at_once):
                    which = [
                        (words.order[call], self.layers[number].index)
                        for call in some_calls
                        for number in some_layers
                    ]
                    queries = [calls[call][index] for call, index in which]
                    masses = self._attend(queries, some_calls, some_layers, width, words)
                    yield from ((*one, mass) for one, mass in zip(which, masses, strict=True))

    def _attend(
        self,
        queries: list[Query],
        calls: Sequence[int],
        numbers: Sequence[int],
        width: int,
        words: DrawnWords,
    ) -> Tensor:
        """Compute the mean attention of some layers in calls whose words have as many columns.

        Returns a tensor of shape (call and layer, sample, head, concept).
        """
        layers = slice(numbers[0], numbers[-1] + 1)
        places = slice(self._first + layers.start, self._first + layers.stop)
        part = (slice(calls[0], calls[-1] + 1), places)
        rows = words.rows[(*part, ..., slice(width))]
        outside = words.outside[(*part, ..., slice(width))].flatten(0, 1)
        columns, weights = words.columns[part].flatten(0, 1), words.weights[part].flatten(0, 1)
        query = torch.stack(queries).float()
        heads = query.shape[2]
        keys = self.keys.read(layers, rows).flatten(0, 1).unflatten(-1, (heads, -1))
        # In mixed precision too, attention is computed in float32.
        with torch.autocast(query.device.type, enabled=False):
            scores = torch.matmul(query, keys.permute(0, 1, 3, 4, 2))
        scores += outside
        mean = torch.softmax(scores, dim=-1).mean(dim=-2)
        tokens = mean.gather(-1, columns.expand(-1, -1, heads, -1))
        return (tokens.unflatten(-1, weights.shape[-2:]) * weights).sum(dim=-1)


def _parts(numbers: list[int], length: int) -> list[list[int]]:
    """Cut a list into parts of a length, the last one possibly shorter."""
    return [numbers[at : at + length] for at in range(0, len(numbers), length)]
