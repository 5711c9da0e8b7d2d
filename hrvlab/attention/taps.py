"""Observers that read queries and keys and reduce them at once: sums are kept, not maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def map_size(latent_size: tuple[int, int], downscale: int) -> tuple[int, int]:
    """Give the size of a layer's grid; halving rounds up."""
    y, x = (-(-side // downscale) for side in latent_size)
    return y, x


class SpatialMaps:
    """Attention maps of chosen token columns, summed over the columns of each word.

    Parameters
    ----------
    columns : sequence of sequence of list of int, shape (sample, word)
        The token columns of each word in each sample's prompt; as many words in each.
    downscale : mapping of int to int
        For each layer to be read, by its index, how much smaller its grid is than the latents.
    """

    def __init__(
        self, columns: Sequence[Sequence[Sequence[int]]], downscale: Mapping[int, int]
    ) -> None:
        self._columns = columns
        self._downscale = downscale

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._maps: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._select: Tensor | None = None

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Keep the chosen columns."""
        if layer.index not in self._downscale:
            return
        if self._select is None:
            self._select = self._selection(key.shape[2]).to(key.device)
        maps = torch.einsum("shpt,swt->shwp", attention_map(query, key, scale), self._select)
        size = map_size(call.latent_size, self._downscale[layer.index])
        self._maps[call.index, layer.index] = maps.unflatten(-1, size).cpu().numpy()

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
    draw : callable (call, layers, samples) -> ndarray of int, shape (layer, sample, concept)
        Which word of each concept each sample reads in each layer.
    """

    def __init__(
        self,
        words: WordEncodings,
        words_per_concept: Sequence[int],
        draw: Callable[[int, int, int], NDArray[np.int64]],
    ) -> None:
        self._words = words
        self._draw = draw
        self._concepts = len(words_per_concept)
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
        """Keep the mean attention on each drawn token; after the last layer, vote."""
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

        Sets the rows of the keys that each layer and sample reads, shape (layer, sample, column);
        what keeps columns past a sample's last word out of the softmax; and the columns of each
        concept's tokens with their weights, shape (layer, sample, concept, token).
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
        self._rows, self._outside, self._columns, self._weights = (
            torch.from_numpy(values).to(device)
            for values in (rows, outside[:, :, None, None].astype(np.float32), columns, weights)
        )
        self._means: list[Tensor] = []

    def _vote(self) -> None:
        """Cast one vote a sample and head."""
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
        # The first maximum, on any device.
        highest = mass == mass.amax(dim=-1, keepdim=True)
        order = torch.arange(self._concepts, device=mass.device)
        winner = torch.where(highest, order, self._concepts).amin(dim=-1, keepdim=True)
        # The last column catches NaN.
        votes = torch.zeros(
            *winner.shape[:2], self._concepts + 1, dtype=torch.int64, device=winner.device
        ).scatter_(2, winner, 1)
        self._by_sample = votes if self._by_sample is None else self._by_sample + votes
        self._by_call.append(votes.sum(dim=0))

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


def _project(projection: Any, states: Tensor) -> Tensor:
    """Project states where the weights are; offloaded ones (meta) come to where the states are."""
    weight = projection.weight
    return projection(states.to(weight.dtype) if weight.is_meta else states.to(weight))


_NOT_FINITE = (
    "the attention holds NaN or infinity; load the model in float32 or bfloat16 instead of float16"
)


def _check_finite(values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise CoverageError(_NOT_FINITE)
