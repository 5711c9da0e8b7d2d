"""Words that are carried through joint attention beside the prompt, as a tap gives and sees them.

They are passive: their tokens read their own word, the sink and the image, and nobody reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.models.families import WordEncodings
    from hrvlab.typing import Key, Query


class DrawnSlots(NamedTuple):
    """The words of one call, one in the slot of each concept, after the sink.

    Parameters
    ----------
    states : Tensor, shape (sample, column, dim)
        Text states; arbitrary in columns that a word leaves empty.
    full : Tensor of bool, shape (sample, column)
        Whether a column holds a token.
    weights : Tensor of float32, shape (sample, column, concept)
        One over the word's number of tokens in the columns of its tokens, and 0 elsewhere.
    filled : bool
        Whether all columns hold tokens.
    """

    states: Tensor
    full: Tensor
    weights: Tensor
    filled: bool


class WordAttention(NamedTuple):
    """What one layer computes for image positions and for words, in the conditional rows.

    Parameters
    ----------
    query : Tensor, shape (sample, head, position, dim)
        Of the positions of the image.
    seen : Tensor, shape (sample, head, position, dim)
        What they read: the heads' output.
    key : Tensor, shape (sample, head, column, dim)
        Of the words' tokens.
    read : Tensor, shape (sample, head, column, dim)
        What those read.
    scale : float
        Of the attention scores, before the softmax.
    """

    query: Query
    seen: Tensor
    key: Key
    read: Tensor
    scale: float


class WordSlots:
    """Columns for one word of every concept, the same whichever words are drawn.

    The first column is the sink's; each concept has as many as its longest word has tokens. So
    nothing that is computed for a word depends on which words the other slots hold.

    Parameters
    ----------
    words : WordEncodings
        All words, the first concept's first.
    words_per_concept : sequence of int
    start : bool
        Whether there is a sink.
    """

    def __init__(
        self, words: WordEncodings, words_per_concept: Sequence[int], *, start: bool
    ) -> None:
        self.words = words
        self._start, counts = int(start), np.asarray(words_per_concept)
        self._length = np.array([len(states) for states in words.content])
        self._first_word = counts.cumsum() - counts
        widths = np.maximum.reduceat(self._length, self._first_word)
        self._concept = np.repeat(np.arange(len(counts)), widths)
        self._token = np.concatenate([np.arange(width) for width in widths])
        # Row 0 of all states is the sink; each word's rows follow.
        self._first_row = 1 + self._length.cumsum() - self._length
        self._states = torch.cat([words.start[None], *words.content])
        sink, first = words.columns
        before = (self._start, 0)
        self._places = torch.from_numpy(np.pad(first + self._token, before, constant_values=sink))
        slots = torch.from_numpy(np.pad(self._concept, before, constant_values=-1))
        self._reads = (slots[:, None] == slots) | (slots == -1)

    def places(self, device: torch.device) -> Tensor:
        """Return the column that each token has in its own text, of int64, shape (column,)."""
        self._places = self._places.to(device, non_blocking=True)
        return self._places

    def reads(self, full: Tensor) -> Tensor:
        """Return which columns each column reads: those of its own word, and the sink.

        Parameters
        ----------
        full : Tensor of bool, shape (sample, column)

        Returns
        -------
        Tensor of bool, shape (sample, column, column)
        """
        self._reads = self._reads.to(full.device, non_blocking=True)
        return self._reads & full[:, None]

    def look_up(self, drawn: NDArray[np.int64], device: torch.device) -> DrawnSlots:
        """Put drawn words, given by their numbers within concepts, into the slots.

        Parameters
        ----------
        drawn : ndarray of int, shape (sample, concept)
        device : torch.device
        """
        word = (self._first_word + drawn)[:, self._concept]
        full = self._token < self._length[word]
        place = np.where(full, self._first_row[word] + self._token, 0)
        own = self._concept[:, None] == np.arange(drawn.shape[1])
        weights = own * (full / self._length[word])[..., None]
        before = ((0, 0), (self._start, 0))
        rows, inside, shares = (
            # An accelerator need not be waited for.
            torch.from_numpy(values).to(device, non_blocking=True)
            for values in (
                np.pad(place, before),
                np.pad(full, before, constant_values=True),
                np.pad(weights.astype(np.float32), (*before, (0, 0))),
            )
        )
        self._states = self._states.to(device, non_blocking=True)
        states = embedding(rows, self._states)
        return DrawnSlots(states, inside, shares, bool(full.all()))
