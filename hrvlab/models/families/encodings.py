"""Text states of words that were encoded one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hrvlab.models.families.carrier import Carrier


@dataclass(frozen=True)
class WordEncodings:
    """Text states of words that were encoded one by one.

    Parameters
    ----------
    start : Tensor, shape (dim,)
        State of the sink, a column that takes part in the softmax beside all words: the start
        token's, which is the same before every word, or in families without one the end token's of
        the empty prompt.
    content : list of Tensor, each of shape (tokens, dim)
        States of each word's own tokens, without start, end and padding.
    through : tuple of torch.nn.Module
        Parts of the denoiser that text states pass before the projections of its layers, or before
        its first block.
    columns : tuple of int
        The columns of the sink and of a word's first token, each in its own text.
    carrier : Carrier or None
        How words are carried through blocks of joint attention, where their keys change with image
        and step; None: a word alone has keys.
    """

    start: Tensor
    content: list[Tensor]
    through: tuple[nn.Module, ...] = ()
    columns: tuple[int, int] = (0, 1)
    carrier: Carrier | None = None
