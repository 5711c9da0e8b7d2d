"""Observers that read queries and keys, and reduce their attention maps at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.attention.transfer import Transfer
from hrvlab.errors import CoverageError

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.attention.kernel import TextSoftmax
    from hrvlab.models.layers import Layer
    from hrvlab.typing import Key, Probabilities, Query, TokenMass


def attention_map(
    query: Query, key: Key, scale: float, key_bias: Tensor | None = None
) -> Probabilities:
    """Compute the attention map of every head in float32.

    Parameters
    ----------
    query : Tensor, shape (sample, head, position, dim)
    key : Tensor, shape (sample, head, token, dim)
    scale : float
        Of the attention scores, before the softmax.
    key_bias : Tensor or None, shape (sample, token)
        Added to the scores of every column; see `Call`.

    Returns
    -------
    Tensor of float32, shape (sample, head, position, token)
        Rows sum to 1.
    """
    scores = torch.matmul(query.float() * scale, key.float().transpose(-1, -2))
    if key_bias is not None:
        scores = scores + key_bias.float()[:, None, None]
    # In place, where no gradient needs the scores: new memory costs as much as the softmax.
    in_place = scores.device.type == "cpu" and not scores.requires_grad
    return torch.softmax(scores, dim=-1, out=scores if in_place else None)


def split_heads(call: Call, layer: Layer, query: Tensor, key: Tensor) -> tuple[Query, Key]:
    """Return the queries and keys of the conditional rows, split into heads.

    Parameters
    ----------
    call : Call
    layer : Layer
    query : Tensor, shape (row, position, head * dim)
    key : Tensor, shape (row, token, head * dim)

    Returns
    -------
    query : Tensor, shape (sample, head, position, dim)
    key : Tensor, shape (sample, head, token, dim)
        Views.
    """
    query, key = (
        states.detach()[call.conditional].unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        for states in (query, key)
    )
    return query, key


class TokenMeans:
    """The spatial mean of the conditional attention map, by call, layer, head and token."""

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._layers = layers
        self._kept = Transfer()
        self._calls = 0

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Compute and keep the mean over positions."""
        maps = attention_map(*split_heads(call, layer, query, key), scale, call.key_bias)
        self._keep(call, layer, maps.mean(dim=2))

    def observe_joint(self, call: Call, layer: Layer, text: TextSoftmax) -> None:
        """Compute and keep the mean over positions, of text columns alone."""
        self._keep(call, layer, text.means())

    def _keep(self, call: Call, layer: Layer, means: Tensor) -> None:
        self._kept.keep(call.index, layer.index, means)
        self._calls = call.index + 1

    def result(self) -> TokenMass:
        """Return the means.

        Returns
        -------
        ndarray of float32, shape (sample, call, layer, head, token)
            ``head`` up to the widest layer, NaN where a layer has fewer.

        Raises
        ------
        CoverageError
            If nothing was read, or the attention is not finite.
        """
        kept = self._kept.result()
        if not kept:
            raise CoverageError("no attention was read; run the pipeline within attach")
        samples, _, tokens = next(iter(kept.values())).shape
        widest = max(layer.heads for layer in self._layers)
        shape = (samples, self._calls, len(self._layers), widest, tokens)
        means = np.full(shape, np.nan, np.float32)
        for index in range(self._calls):
            for layer in self._layers:
                mean = kept[index, layer.index]
                _check_finite(mean)
                means[:, index, layer.index, : layer.heads] = mean
        return means


def map_size(latent_size: tuple[int, int], downscale: int) -> tuple[int, int]:
    """Return height and width of a layer's grid; halving rounds up."""
    y, x = (-(-side // downscale) for side in latent_size)
    return y, x


class SpatialMaps:
    """Attention maps of chosen token columns, summed over the columns of each word.

    Parameters
    ----------
    columns : sequence of sequence of list of int, shape (sample, word)
        The token columns of each word in each sample's prompt; every sample has as many words.
    downscale : mapping of int to int
        For each layer to be read, by its index, the factor by which its grid is smaller than the
        latents.
    """

    def __init__(
        self, columns: Sequence[Sequence[Sequence[int]]], downscale: Mapping[int, int]
    ) -> None:
        self._columns = columns
        self._downscale = downscale

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._kept = Transfer()
        self._select: Tensor | None = None
        self._chosen: Tensor | None = None

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Compute and keep the chosen columns."""
        if layer.index not in self._downscale:
            return
        every = attention_map(*split_heads(call, layer, query, key), scale, call.key_bias)
        self._keep(call, layer, every, self._selected(key.shape[1], key.device))

    def observe_joint(self, call: Call, layer: Layer, text: TextSoftmax) -> None:
        """Compute and keep the chosen columns, and no others."""
        if layer.index not in self._downscale:
            return
        device = text.key.device
        select = self._selected(text.key.shape[2], device)
        if self._chosen is None:
            of_words = (word for words in self._columns for word in words)
            columns = sorted({column for word in of_words for column in word})
            self._chosen = torch.tensor(columns).to(device, non_blocking=True)
        self._keep(call, layer, text.maps(self._chosen), select[..., self._chosen])

    def _selected(self, tokens: int, device: torch.device) -> Tensor:
        if self._select is None:
            self._select = self._selection(tokens).to(device, non_blocking=True)
        return self._select

    def _keep(self, call: Call, layer: Layer, maps: Probabilities, select: Tensor) -> None:
        maps = torch.einsum("shpt,swt->shwp", maps, select)
        size = map_size(call.latent_size, self._downscale[layer.index])
        self._kept.keep(call.index, layer.index, maps.unflatten(-1, size))

    def _selection(self, tokens: int) -> Tensor:
        """Mark the columns of each word, shape (sample, word, token)."""
        select = torch.zeros(len(self._columns), len(self._columns[0]), tokens)
        for sample, words in enumerate(self._columns):
            for word, columns in enumerate(words):
                select[sample, word, list(columns)] = 1.0
        return select

    def result(self) -> dict[tuple[int, int], NDArray[np.float32]]:
        """Return the maps, keyed by (call, layer).

        Returns
        -------
        dict of (int, int) to ndarray of float32, shape (sample, head, word, y, x)

        Raises
        ------
        CoverageError
            If nothing was read, or the attention is not finite.
        """
        found = self._kept.result()
        if not found:
            raise CoverageError("no attention was read; run the pipeline within attach")
        for maps in found.values():
            _check_finite(maps)
        return found


NOT_FINITE = (
    "the attention is NaN or infinite; load the model in float32 or bfloat16 instead of float16"
)


def _check_finite(values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise CoverageError(NOT_FINITE)
