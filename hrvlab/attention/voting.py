"""Votes of attention heads for the concepts whose words they attend to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.attention.taps import NOT_FINITE
from hrvlab.errors import CoverageError

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.models.families import WordEncodings
    from hrvlab.models.heads import Layer
    from hrvlab.typing import Key, Query, Votes


@dataclass(frozen=True)
class VotingRule:
    """A rule by which heads vote; the default is the published one.

    Parameters
    ----------
    mass : bool
        Instead of casting one vote for the concept that it attends to most, a head adds its
        attention to every concept, in millionths, so that sums stay exact.
    start : bool
        Whether the start token takes part in the softmax.
    """

    mass: bool = False
    start: bool = True


PUBLISHED_RULE = VotingRule()

MILLIONTHS = 1_000_000


class ConceptVotes:
    """The votes of every head, in every call, for the concept whose word it attends to most.

    For each sample, call and layer one word per concept is drawn at random. Their keys, after the
    start token's, stand in for the prompt's; each head's attention is averaged over positions, then
    over the tokens of each word, and the concept with the largest mean gets the vote (Section 3 of
    arXiv 2412.02237; ties go to the lowest index). The image is not affected.

    Parameters
    ----------
    words : WordEncodings
        All words, the first concept's first.
    words_per_concept : sequence of int
    draw : callable (call, layers, samples) -> ndarray of int, shape (layer, sample, concept)
        Draws, for each layer and sample, the number of the word of each concept.
    voting_rule : VotingRule
        By default the published one.
    """

    def __init__(
        self,
        words: WordEncodings,
        words_per_concept: Sequence[int],
        draw: Callable[[int, int, int], NDArray[np.int64]],
        voting_rule: VotingRule = PUBLISHED_RULE,
    ) -> None:
        self._rule = voting_rule
        self._words = words
        self._draw = draw
        self._length = np.array([len(states) for states in words.content])
        # Row 0 of the keys is the start token; each word's rows follow.
        self._first_row = 1 + np.cumsum(self._length) - self._length
        self._first_word = np.cumsum(words_per_concept) - words_per_concept

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Project the words' keys, scaled, once for each layer."""
        states = torch.cat([self._words.start[None], *self._words.content])
        with torch.no_grad():
            self._keys = [
                (_project(module.to_k, states).float() * module.scale).unflatten(
                    -1, (layer.heads, -1)
                )
                for layer, module in zip(layers, modules, strict=True)
            ]
        self._layers = layers
        self._by_sample: Tensor | None = None
        self._by_call: list[Tensor] = []

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Compute and keep the mean attention to each word's tokens; after the last layer, vote."""
        # Layers report in the order they run, which is the forward order.
        if layer.index == 0:
            self._draw_call(call, query.device)
        self._keys[layer.index] = self._keys[layer.index].to(query.device)
        keys = self._keys[layer.index][self._rows[layer.index]]
        scores = torch.matmul(query.float(), keys.permute(0, 2, 3, 1))
        scores += self._outside[layer.index]
        self._means.append(torch.softmax(scores, dim=-1).mean(dim=2))
        if layer.index == self._layers[-1].index:
            self._vote()

    def _draw_call(self, call: Call, device: torch.device) -> None:
        """Draw the words of one call, for all layers at once.

        Sets the rows of the keys that each layer and sample uses, shape (layer, sample, column);
        the offsets that exclude columns after a sample's last word, and possibly the start token,
        from the softmax; and the columns of each concept's tokens with their weights, shape
        (layer, sample, concept, token).
        """
        drawn = self._draw(call.index, len(self._layers), call.samples)
        words = self._first_word + drawn
        lengths = self._length[words]
        ends = 1 + lengths.cumsum(axis=-1)
        token = np.arange(self._length.max())
        inside = token < lengths[..., None]
        columns = np.where(inside, (ends - lengths)[..., None] + token, 0)
        weights = (inside / lengths[..., None]).astype(np.float32)
        rows = np.zeros((*drawn.shape[:2], ends.max()), np.int64)
        layer, sample, *_ = inside.nonzero()
        rows[layer, sample, columns[inside]] = (self._first_row[words][..., None] + token)[inside]
        outside = np.where(np.arange(ends.max()) < ends[..., -1:], 0, -np.inf)
        outside[..., 0] = 0 if self._rule.start else -np.inf
        self._rows, self._outside, self._columns, self._weights = (
            torch.from_numpy(values).to(device)
            for values in (rows, outside[:, :, None, None].astype(np.float32), columns, weights)
        )
        self._means: list[Tensor] = []

    def _vote(self) -> None:
        """Count the votes of one call, one per sample and head."""
        mean = torch.cat(self._means, dim=1)
        columns, weights = (
            torch.cat(
                [
                    per_layer[layer.index][:, None].expand(-1, layer.heads, -1, -1)
                    for layer in self._layers
                ],
                dim=1,
            )
            for per_layer in (self._columns, self._weights)
        )
        tokens = mean.gather(-1, columns.flatten(-2)).unflatten(-1, columns.shape[-2:])
        mass = (tokens * weights).sum(dim=-1)
        votes = _millionths(mass) if self._rule.mass else _single_votes(mass)
        self._by_sample = votes if self._by_sample is None else self._by_sample + votes
        self._by_call.append(votes.sum(dim=0))

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
        by_call = torch.stack(self._by_call).cpu().numpy()
        return by_sample[..., :-1], by_call[..., :-1]


def _project(projection: Any, states: Tensor) -> Tensor:
    """Project states on the weights' device; offloaded weights (meta) follow the states."""
    weight = projection.weight
    return projection(states.to(weight.dtype) if weight.is_meta else states.to(weight))


def _single_votes(mass: Tensor) -> Tensor:
    """Cast one vote for the first concept with the largest mass.

    Parameters
    ----------
    mass : Tensor, shape (sample, head, concept)

    Returns
    -------
    Tensor of int64, shape (sample, head, concept + 1)
        The last column counts NaN.
    """
    concepts = mass.shape[-1]
    # The first maximum, on any device.
    highest = mass == mass.amax(dim=-1, keepdim=True)
    order = torch.arange(concepts, device=mass.device)
    winner = torch.where(highest, order, concepts).amin(dim=-1, keepdim=True)
    votes = torch.zeros(*mass.shape[:2], concepts + 1, dtype=torch.int64, device=mass.device)
    return votes.scatter_(2, winner, 1)


def _millionths(mass: Tensor) -> Tensor:
    """Express the mass of every concept in millionths.

    Parameters
    ----------
    mass : Tensor, shape (sample, head, concept)

    Returns
    -------
    Tensor of int64, shape (sample, head, concept + 1)
        The last column counts NaN.
    """
    counted = (mass.nan_to_num() * MILLIONTHS).round().long()
    broken = mass.isnan().any(dim=-1, keepdim=True).long()
    return torch.cat([counted, broken], dim=-1)
