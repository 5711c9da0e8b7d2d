"""A naive implementation: every attention of the UNet with explicit maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from numpy.typing import NDArray
from torch import Tensor

from hrvlab.models.families import WordEncodings
from hrvlab.models.heads import cross_attention_layers

# Changes the maps of a layer, given its module, its queries and its maps, the latter two of shape
# (sample, head, position, …).
Change = Callable[[Attention, Tensor, Tensor], Tensor]


class ExplicitAttention:
    """An attention processor that computes the whole map, and may change it."""

    def __init__(self, change: Change | None = None) -> None:
        self.change = change

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        """Compute attention; the second half of the samples is the conditional one."""
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = (attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text))
        query, key, value = (split(states, attn.heads) for states in projected)
        maps = torch.softmax(query @ key.transpose(-1, -2) * attn.scale, dim=-1)
        if self.change is not None:
            maps = self.change(attn, query, maps)
        mixed = (maps @ value).transpose(1, 2).flatten(-2)
        return attn.to_out[1](attn.to_out[0](mixed))


def split(states: Tensor, heads: int) -> Tensor:
    """Split channels into heads, shape (sample, head, position, dim)."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def make_explicit(unet: UNet2DConditionModel, changes: list[Change] | None = None) -> None:
    """Make every attention explicit, and change the maps of cross-attention layer by layer."""
    unet.set_attn_processor(ExplicitAttention())
    for layer in cross_attention_layers(unet) if changes else []:
        unet.get_submodule(layer.module).set_processor(ExplicitAttention(changes[layer.index]))


class NaiveVotes:
    """Votes of one sample, with the words' keys projected anew in every call.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        All of its attention is explicit from now on.
    words : WordEncodings
    words_per_concept : list of int
    draw : callable (call, layers) -> ndarray of int, shape (layer, concept)
        Draws the word of each concept.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        words: WordEncodings,
        words_per_concept: list[int],
        draw: Callable[[int, int], NDArray[np.int64]],
    ) -> None:
        self.words, self.draw, self.counts = words, draw, words_per_concept
        layers = cross_attention_layers(pipe.unet)
        self.starts = [layer.start for layer in layers]
        positions = sum(layer.heads for layer in layers)
        self.votes = np.zeros((positions, len(words_per_concept)), np.int64)
        self.seen = [0] * len(layers)
        make_explicit(pipe.unet, [self._voter(layer.index) for layer in layers])

    def _voter(self, layer: int) -> Change:
        def vote(attn: Attention, query: Tensor, maps: Tensor) -> Tensor:
            words = self.draw(self.seen[layer], len(self.seen))[layer]
            self.seen[layer] += 1
            first = np.cumsum(self.counts) - self.counts
            chosen = [self.words.content[word] for word in first + words]
            keys = split(attn.to_k(torch.cat([self.words.start[None], *chosen]))[None], attn.heads)
            scores = query[len(query) // 2 :] @ keys.transpose(-1, -2) * attn.scale
            mean = torch.softmax(scores, dim=-1).mean(dim=(0, 2))
            parts = mean[:, 1:].split([len(states) for states in chosen], dim=-1)
            winner = torch.stack([part.mean(dim=-1) for part in parts], dim=-1).argmax(dim=-1)
            for head, concept in enumerate(winner.tolist()):
                self.votes[self.starts[layer] + head, concept] += 1
            return maps

        return vote


def weakener(factors: NDArray[np.float64], columns: list[int]) -> Change:
    """Build a change that multiplies token columns of the conditional maps by heads' factors."""
    scale = torch.from_numpy(factors).float()[:, None, None]

    def multiply(attn: Attention, query: Tensor, maps: Tensor) -> Tensor:
        changed = maps.clone()
        changed[len(maps) // 2 :, :, :, columns] *= scale
        return changed

    return multiply
