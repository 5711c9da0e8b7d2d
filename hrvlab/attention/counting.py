"""Votes that are counted from heads' attention to concepts, by sample and by call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hrvlab.attention.taps import NOT_FINITE
from hrvlab.errors import CoverageError

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.typing import Votes

MILLIONTHS = 1_000_000


class VoteCount:
    """Votes of all calls so far.

    Parameters
    ----------
    mass : bool
        Whether heads add their attention, in millionths, instead of casting one vote.
    """

    def __init__(self, *, mass: bool) -> None:
        self._votes = _millionths if mass else _single_votes
        self._by_sample: Tensor | None = None
        self._by_call: list[Tensor] = []

    def add(self, mass: Tensor) -> None:
        """Count the votes of some calls.

        Parameters
        ----------
        mass : Tensor, shape (call, sample, head_position, concept)
            Attention to concepts.
        """
        votes = self._votes(mass)
        by_sample = votes.sum(dim=0)
        self._by_sample = by_sample if self._by_sample is None else self._by_sample + by_sample
        self._by_call.append(votes.sum(dim=1))

    def result(self) -> tuple[Votes, Votes]:
        """Return the votes by sample and by call.

        Returns
        -------
        by_sample : ndarray of int64, shape (sample, head_position, concept)
        by_call : ndarray of int64, shape (call, head_position, concept)

        Raises
        ------
        CoverageError
            If nothing was read, or the attention is not finite.
        """
        if self._by_sample is None:
            raise CoverageError("no attention was read; run the pipeline within attach")
        by_sample = self._by_sample.cpu().numpy()
        if by_sample[..., -1].any():
            raise CoverageError(NOT_FINITE)
        by_call = torch.cat(self._by_call).cpu().numpy()
        return by_sample[..., :-1], by_call[..., :-1]


def _single_votes(mass: Tensor) -> Tensor:
    """Cast one vote for the first concept with the largest mass.

    Parameters
    ----------
    mass : Tensor, shape (..., concept)

    Returns
    -------
    Tensor of int64, shape (..., concept + 1)
        The last column counts NaN.
    """
    largest, winner = mass.max(dim=-1, keepdim=True)
    winner = winner.where(~largest.isnan(), mass.shape[-1])
    votes = torch.zeros(*mass.shape[:-1], mass.shape[-1] + 1, dtype=torch.int64, device=mass.device)
    return votes.scatter_(-1, winner, 1)


def _millionths(mass: Tensor) -> Tensor:
    """Express the mass of every concept in millionths.

    Parameters
    ----------
    mass : Tensor, shape (..., concept)

    Returns
    -------
    Tensor of int64, shape (..., concept + 1)
        The last column counts NaN.
    """
    counted = (mass.nan_to_num() * MILLIONTHS).round().long()
    broken = mass.isnan().any(dim=-1, keepdim=True).long()
    return torch.cat([counted, broken], dim=-1)
