"""Attention of heads to words that are drawn anew for every call, layer and sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

# Small layers and calls are computed together until their attention has so many rows: operations
# take longer to start than to run, but those whose results leave the caches take longer still.
TOGETHER = 2**13
AT_ONCE = 2**14  # rows that the heads of one large layer are computed in, so that they stay cached


class DrawnWords(NamedTuple):
    """Words of some calls as columns of attention: the start token's, then each word's tokens.

    Parameters
    ----------
    calls : list of int
        The places of those calls among all that were drawn for.
    places : Tensor of int64, shape (call,)
        The same.
    rows : Tensor of int64, shape (call, layer, sample, column)
        The row of the layer's keys that each column attends to.
    open : int
        The number of first columns that take part in every softmax.
    outside : Tensor of float32, shape (call, layer, sample, 1, 1, column)
        For the columns after them: minus infinity where they take no part in the softmax, as those
        after a sample's last word, and possibly the start token; 0 elsewhere.
    columns : Tensor of int64, shape (call, layer, sample, 1, concept * token)
        The column of every token.
    weights : Tensor of float32, shape (call, layer, sample, 1, concept, token)
        One over the word's number of tokens, and 0 for tokens that the word does not have.
    """

    calls: list[int]
    places: Tensor
    rows: Tensor
    open: int
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
        counts = np.asarray(words_per_concept)
        self._first_word = counts.cumsum() - counts

    def look_up(self, drawn: NDArray[np.int64], device: torch.device) -> list[DrawnWords]:
        """Arrange drawn words, given by their numbers within concepts, as columns.

        Parameters
        ----------
        drawn : ndarray of int, shape (call, layer, sample, concept)
        device : torch.device

        Returns
        -------
        list of DrawnWords
            One for each number of columns: a sum may be rounded otherwise among more columns, and
            votes must not depend on which calls are computed together.
        """
        words = self._first_word + drawn
        widths = 1 + self._length[words].sum(axis=-1).max(axis=(1, 2))
        return [
            self._arrange(np.flatnonzero(widths == width), words, int(width), device)
            for width in np.unique(widths)
        ]

    def _arrange(
        self, calls: NDArray[np.int64], words: NDArray[np.int64], width: int, device: torch.device
    ) -> DrawnWords:
        """Arrange the words of some calls as so many columns."""
        words = words[calls]
        is_token = self._is_token[words]
        columns = is_token.reshape(*words.shape[:3], -1).cumsum(axis=-1)
        last = columns[..., -1:]
        inside = np.arange(width) <= last
        outside = np.where(inside, np.float32(0), np.float32(-np.inf))
        if not self._start:
            outside[..., 0] = -np.inf
        first_outside = int(last.min()) + 1 if self._start else 0
        rows = np.zeros(inside.shape, np.int64)
        inside[..., 0] = False
        rows[inside] = self._rows[words][is_token]
        tensors = (
            # An accelerator need not be waited for.
            torch.from_numpy(values).to(device, non_blocking=True)
            for values in (
                calls,
                rows,
                outside[..., None, None, first_outside:],
                columns[..., None, :],
                self._weights[words][..., None, :, :],
            )
        )
        return DrawnWords(calls.tolist(), next(tensors), next(tensors), first_outside, *tensors)


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
        self, calls: Sequence[Mapping[int, Tensor]], words: DrawnWords
    ) -> tuple[list[Layer], Tensor]:
        """Compute the mean attention of heads to the tokens of each concept's word.

        Parameters
        ----------
        calls : sequence of mapping of int to Tensor, each (sample, position, head * dim)
            For each call queries by the layer's index: of some of these layers in succession, the
            same in every call, and of others.
        words : DrawnWords
            Of the same calls.

        Returns
        -------
        layers : list of Layer
            Those that there are queries of.
        mass : Tensor of float32, shape (layer, call, sample, head, concept)
        """
        own = [number for number, layer in enumerate(self.layers) if layer.index in calls[0]]
        if not own:
            return [], torch.empty(0)
        heads = self.layers[0].heads
        rows = calls[0][self.layers[own[0]].index][..., 0].numel() * heads
        layers_at_once = max(1, min(len(own), TOGETHER // rows))
        calls_at_once = max(1, TOGETHER // (rows * layers_at_once))
        means = [
            self._attend(
                [calls[call][self.layers[number].index] for call in some for number in numbers],
                slice(some[0], some[-1] + 1),
                slice(numbers[0], numbers[-1] + 1),
                words,
            )
            for some in _parts(list(range(len(calls))), calls_at_once)
            for numbers in _parts(own, layers_at_once)
        ]
        places = slice(self._first + own[0], self._first + own[-1] + 1)
        columns, weights = (
            values[:, places].flatten(0, 1) for values in (words.columns, words.weights)
        )
        tokens = torch.cat(means).gather(-1, columns.expand(-1, -1, heads, -1))
        mass = (tokens.unflatten(-1, weights.shape[-2:]) * weights).sum(dim=-1)
        layers = [self.layers[number] for number in own]
        return layers, mass.unflatten(0, (len(calls), len(own))).transpose(0, 1)

    def _attend(
        self, queries: list[Tensor], calls: slice, layers: slice, words: DrawnWords
    ) -> Tensor:
        """Compute the mean attention to all columns, of some layers in some calls.

        Returns a tensor of shape (call and layer, sample, head, column).
        """
        heads = self.layers[0].heads
        part = (calls, slice(self._first + layers.start, self._first + layers.stop))
        stacked = queries[0][None] if len(queries) == 1 else torch.stack(queries)
        query = stacked.float().unflatten(-1, (heads, -1)).transpose(2, 3)
        keys = self.keys.read(layers, words.rows[part]).flatten(0, 1).unflatten(-1, (heads, -1))
        outside = words.outside[part].flatten(0, 1)
        heads_at_once = max(1, AT_ONCE // query[:, :, 0, :, 0].numel())
        means = query.new_empty((*query.shape[:3], outside.shape[-1] + words.open))
        # In mixed precision too, attention is computed in float32.
        with torch.autocast(query.device.type, enabled=False):
            for some in _parts(list(range(heads)), heads_at_once):
                own = slice(some[0], some[-1] + 1)
                scores = torch.matmul(query[:, :, own], keys[..., own, :].permute(0, 1, 3, 4, 2))
                scores[..., words.open :] += outside
                torch.mean(torch.softmax(scores, dim=-1), dim=-2, out=means[:, :, own])
        return means


def _parts(numbers: list[int], length: int) -> list[list[int]]:
    """Cut a list into parts of a length, the last one possibly shorter."""
    return [numbers[at : at + length] for at in range(0, len(numbers), length)]
