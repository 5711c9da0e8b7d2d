"""How words are carried through the blocks of joint attention, beside the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.models.layers import Layer


class Passengers(NamedTuple):
    """Words as they enter a block beside the prompt, and what they find there.

    Parameters
    ----------
    states : Tensor, shape (sample, column, dim)
        Of the words' tokens.
    places : Tensor of int64, shape (column,)
        The text column that each token has in its own text.
    rows : slice
        The conditional rows of the block's batch, one for each sample.
    columns : int
        How many text columns the block was given.
    """

    states: Tensor
    places: Tensor
    rows: slice
    columns: int


@runtime_checkable
class Carrier(Protocol):
    """What hrvlab must know of a family's blocks to run one of them on words alone."""

    def block(self, layer: Layer) -> str:
        """Return the path of the block that holds a layer's attention."""

    def enter(self, given: Mapping[str, Any], words: Passengers) -> dict[str, Any]:
        """Return what a block is given if words stand in place of its text.

        Parameters
        ----------
        given : mapping of str to object
            What it was given, by name.
        words : Passengers

        Returns
        -------
        dict of str to object
            With the words, the conditional rows, and none of the image's positions.
        """

    def leave(self, output: Any, words: Passengers) -> Tensor | None:
        """Return the words' states after a block; None: its text goes no further."""


def rows_of(part: Tensor, rows: slice) -> Tensor:
    """Return some rows of a batch; one row stands for all."""
    return part if len(part) == 1 else part[rows]
