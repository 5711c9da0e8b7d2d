"""Observers that read queries and keys and reduce them at once: sums are kept, not maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from numpy.typing import NDArray
from torch import Tensor

from hrvlab.attention.calls import Call
from hrvlab.errors import CoverageError
from hrvlab.models.families import WordEncodings
from hrvlab.models.heads import Layer
from hrvlab.typing import Key, Probabilities, Query, TokenMass, Votes


def attention_map(query: Query, key: Key, scale: float) -> Probabilities:
    """Recompute the attention map of every head in float32.

    Parameters
    ----------
    query : Tensor, shape (sample, head, position, dim)
    key : Tensor, shape (sample, head, token, dim)
    scale : float

    Returns
    -------
    Tensor of float32, shape (sample, head, position, token)
        Rows sum to 1.
    """
    scores = torch.matmul(query.float() * scale, key.float().transpose(-1, -2))
    return torch.softmax(scores, dim=-1)


class TokenMeans:
    """Spatial mean of the conditional attention map, for every call, layer, head and token."""

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._layers = layers
        self._calls: list[list[Tensor]] = []

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Keep the mean over positions."""
        if call.index == len(self._calls):
            self._calls.append([])
        self._calls[call.index].append(attention_map(query, key, scale).mean(dim=2).cpu())

    def result(self) -> TokenMass:
        """Give what was read.

        Returns
        -------
        ndarray of float32, shape (sample, call, layer, head, token)
            ``head`` up to the widest layer, NaN where a layer has fewer.

        Raises
        ------
        CoverageError
            If nothing was read, or the model produced numbers that are not finite.
        """
        if not self._calls:
            raise CoverageError("no attention was read; run the pipeline inside attach")
        samples, _, tokens = self._calls[0][0].shape
        widest = max(layer.heads for layer in self._layers)
        shape = (samples, len(self._calls), len(self._layers), widest, tokens)
        means = np.full(shape, np.nan, np.float32)
        for index, per_layer in enumerate(self._calls):
            # Layers report in the order they run, which is the forward order.
            for layer, mean in zip(self._layers, per_layer, strict=True):
                _check_finite(mean.numpy())
                means[:, index, layer.index, : layer.heads] = mean.numpy()
        return means


class SpatialMaps:
    """Attention maps of chosen token columns, summed over the columns of each word.

    Parameters
    ----------
    columns : sequence of sequence of list of int, shape (sample, word)
        The token columns of each word in each sample's prompt; as many words in each.
    downscale : sequence of int
        For each layer, how much smaller its grid is than the latents.
    """

    def __init__(
        self, columns: Sequence[Sequence[Sequence[int]]], downscale: Sequence[int]
    ) -> None:
        self._columns = columns
        self._downscale = downscale

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._maps: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._select: Tensor | None = None

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Keep the chosen columns."""
        if self._select is None:
            self._select = self._selection(key.shape[2]).to(key.device)
        maps = torch.einsum("shpt,swt->shwp", attention_map(query, key, scale), self._select)
        y, x = (-(-side // self._downscale[layer.index]) for side in call.latent_size)
        self._maps[call.index, layer.index] = maps.unflatten(-1, (y, x)).cpu().numpy()

    def _selection(self, tokens: int) -> Tensor:
        select = torch.zeros(len(self._columns), len(self._columns[0]), tokens)
        for sample, words in enumerate(self._columns):
            for word, columns in enumerate(words):
                select[sample, word, list(columns)] = 1.0
        return select

    def result(self) -> dict[tuple[int, int], NDArray[np.float32]]:
        """Give the maps, keyed by (call, layer).

        Returns
        -------
        dict of (int, int) to ndarray of float32, shape (sample, head, word, y, x)

        Raises
        ------
        CoverageError
            If nothing was read, or the model produced numbers that are not finite.
        """
        if not self._maps:
            raise CoverageError("no attention was read; run the pipeline inside attach")
        for maps in self._maps.values():
            _check_finite(maps)
        return self._maps


@dataclass(frozen=True)
class Ballot:
    """How heads vote; the default is the published way.

    Parameters
    ----------
    mass : bool
        Instead of one vote for the concept it attends to most, a head gives every concept its
        attention, in millionths, so that sums stay exact.
    start : bool
        Whether the start token takes its share of the softmax.
    """

    mass: bool = False
    start: bool = True


PUBLISHED_BALLOT = Ballot()
MILLIONTHS = 1_000_000


class ConceptVotes:
    """Let every head vote, at every call, for the concept whose drawn word it attends to most.

    For each sample, call and layer one word a concept is drawn. Their keys, after the start
    token's, replace the prompt's; each head's attention is averaged over positions, then over the
    tokens of each word, and the concept with the largest mean gets the vote (Section 3 of
    arXiv 2412.02237; ties go to the lowest index). The picture is not affected.

    Parameters
    ----------
    words : WordEncodings
        All words, the first concept's first.
    words_per_concept : sequence of int
    draw : callable (call, layer, samples) -> ndarray of int, shape (sample, concept)
        Which word of each concept each sample reads.
    ballot : Ballot
    """

    def __init__(
        self,
        words: WordEncodings,
        words_per_concept: Sequence[int],
        draw: Callable[[int, int, int], NDArray[np.int64]],
        ballot: Ballot = PUBLISHED_BALLOT,
    ) -> None:
        self._ballot = ballot
        self._words = words
        self._draw = draw
        self._concepts = len(words_per_concept)
        lengths = np.array([len(states) for states in words.content])
        # Row 0 of the keys is the start token; each word's rows follow.
        self._first_row = 1 + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        self._length = lengths
        self._first_word = np.array([0, *np.cumsum(words_per_concept)[:-1]])

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Project the words' keys, once for each layer."""
        states = torch.cat([self._words.start[None], *self._words.content])
        with torch.no_grad():
            self._keys = [module.to_k(states.to(module.to_k.weight)).float() for module in modules]
        self._head_positions = sum(layer.heads for layer in layers)
        self._by_sample: Tensor | None = None
        self._by_call: list[Tensor] = []

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Cast one vote a sample and head."""
        mass = self._concept_mass(call, layer, query, scale)
        votes = _millionths(mass) if self._ballot.mass else _single_votes(mass)
        if self._by_sample is None:
            self._by_sample = torch.zeros(
                call.samples, self._head_positions, self._concepts + 1, dtype=torch.int64
            ).to(mass.device)
        while len(self._by_call) <= call.index:
            self._by_call.append(torch.zeros_like(self._by_sample[0]))
        self._by_sample[:, layer.head_positions] += votes
        self._by_call[call.index][layer.head_positions] += votes.sum(dim=0)

    def _concept_mass(self, call: Call, layer: Layer, query: Query, scale: float) -> Tensor:
        """Mean attention on each concept's drawn word, shape (sample, head, concept)."""
        drawn = self._first_word + self._draw(call.index, layer.index, call.samples)
        lengths = self._length[drawn]
        width = 1 + int(lengths.sum(axis=1).max())
        rows = np.zeros((call.samples, width), np.int64)
        concept = np.full((call.samples, width), self._concepts)
        for sample, (words, counts) in enumerate(zip(drawn, lengths, strict=True)):
            ends = np.cumsum(counts)
            within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
            rows[sample, 1 : 1 + ends[-1]] = np.repeat(self._first_row[words], counts) + within
            concept[sample, 1 : 1 + ends[-1]] = np.repeat(np.arange(self._concepts), counts)
        device = query.device
        padding = torch.from_numpy(concept == self._concepts)
        padding[:, 0] = not self._ballot.start
        keys = self._keys[layer.index][torch.from_numpy(rows).to(device)]
        keys = keys.unflatten(-1, (layer.heads, -1)).permute(0, 2, 3, 1)
        scores = torch.matmul(query.float() * scale, keys)
        scores.masked_fill_(padding.to(device)[:, None, None, :], -torch.inf)
        mean = torch.softmax(scores, dim=-1).mean(dim=2)
        member = torch.nn.functional.one_hot(torch.from_numpy(concept), self._concepts + 1)
        share = member[..., :-1] / torch.from_numpy(lengths)[:, None, :]
        return mean @ share.to(mean)

    def result(self) -> tuple[Votes, Votes]:
        """Give the votes by sample and by call.

        Returns
        -------
        by_sample : ndarray of int64, shape (sample, head_position, concept)
        by_call : ndarray of int64, shape (call, head_position, concept)

        Raises
        ------
        CoverageError
            If nothing was read, or the model produced numbers that are not finite.
        """
        if self._by_sample is None:
            raise CoverageError("no attention was read; run the pipeline inside attach")
        by_sample = self._by_sample.cpu().numpy()
        if by_sample[..., -1].any():
            raise CoverageError(_NOT_FINITE)
        by_call = torch.stack(self._by_call).cpu().numpy()
        return by_sample[..., :-1], by_call[..., :-1]


def _single_votes(mass: Tensor) -> Tensor:
    """Give one vote to the first concept of most mass (sample, head, concept).

    Returns
    -------
    Tensor of int64, shape (sample, head, concept + 1)
        The last column catches NaN.
    """
    concepts = mass.shape[-1]
    # The first maximum, on any device.
    highest = mass == mass.amax(dim=-1, keepdim=True)
    order = torch.arange(concepts, device=mass.device)
    winner = torch.where(highest, order, concepts).amin(dim=-1, keepdim=True)
    votes = torch.zeros(*mass.shape[:2], concepts + 1, dtype=torch.int64, device=mass.device)
    return votes.scatter_(2, winner, 1)


def _millionths(mass: Tensor) -> Tensor:
    """Give every concept its mass (sample, head, concept), in millionths.

    Returns
    -------
    Tensor of int64, shape (sample, head, concept + 1)
        The last column catches NaN.
    """
    counted = (mass.nan_to_num() * MILLIONTHS).round().long()
    broken = mass.isnan().any(dim=-1, keepdim=True).long()
    return torch.cat([counted, broken], dim=-1)


_NOT_FINITE = (
    "the attention holds NaN or infinity; load the model in float32 or bfloat16 instead of float16"
)


def _check_finite(values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise CoverageError(_NOT_FINITE)
