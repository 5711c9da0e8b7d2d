"""Local blending: an edited image differs from its source only where chosen words are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import interpolate, max_pool2d

from hrvlab.attention.taps import attention_map, map_size, split_heads
from hrvlab.errors import ParameterError
from hrvlab.models.tokens import word_columns

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.models.layers import Layer

Words = str | Sequence[str]
Blend = tuple[Words, Words]  # of the source and of the target

THRESHOLD = 0.3
# As published: maps of 16 × 16 for latents of 64 × 64.
DOWNSCALE = 4
REACH = 1  # positions by which a word's area is widened on each side


class LocalBlend:
    """A tap that maps chosen words, and a callback that blends the latents of pairs of images.

    A word's map is the mean over the heads of the layers whose grid is nearest to a quarter of the
    latents' side, and over all denoiser calls so far. It is the image's own, before any attention
    is injected.

    Parameters
    ----------
    columns : sequence of sequence of list of int, shape (image, word)
        The token columns of each word in each prompt, for source, target, source, target, …
    threshold : float
        Share of a map's maximum above which a position belongs to the word.

    Notes
    -----
    Local editing in Section 3.2 of arXiv 2208.01626, with the widening of its code.
    """

    def __init__(self, columns: Sequence[Sequence[Sequence[int]]], threshold: float) -> None:
        self._columns, self._threshold = columns, threshold
        self._maps: Tensor | int = 0

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Choose the layers, and start from empty maps."""
        nearest = min(
            {layer.downscale for layer in layers},
            key=lambda one: (abs(math.log2(one / DOWNSCALE)), one),
        )
        self._layers = {layer.index for layer in layers if layer.downscale == nearest}
        self._maps = 0

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Add the maps of the chosen words."""
        if layer.index not in self._layers:
            return
        every = attention_map(*split_heads(call, layer, query, key), scale, call.key_bias)
        maps = every.sum(dim=1)
        select = maps.new_zeros(len(maps), max(map(len, self._columns)), maps.shape[2])
        for row, words in zip(select, self._columns, strict=True):
            for marks, columns in zip(row, words, strict=False):
                marks[list(columns)] = 1
        size = map_size(call.latent_size, layer.downscale)
        self._maps = self._maps + torch.einsum("spt,swt->swp", maps, select).unflatten(-1, size)

    def after_step(
        self, _: DiffusionPipeline, __: int, ___: object, given: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Blend the latents after a step: the pipeline's ``callback_on_step_end=``."""
        assert not isinstance(self._maps, int)
        latents = given["latents"]
        mask = blend_mask(self._maps, self._threshold, (latents.shape[-2], latents.shape[-1]))
        blended = latents.clone()
        blended[1::2] = torch.where(mask, latents[1::2], latents[::2])
        return {"latents": blended}


def blend_mask(maps: Tensor, threshold: float, size: tuple[int, int]) -> Tensor:
    """Compute where the images of each pair may differ: where any word is, in either image.

    Parameters
    ----------
    maps : Tensor, shape (image, word, y, x)
        Source, target, source, target, …
    threshold : float
        Share of a map's maximum above which a position belongs to the word.
    size : tuple of int
        Height and width of the latents.

    Returns
    -------
    Tensor of bool, shape (pair, 1, y, x)
    """
    widened = max_pool2d(maps, 2 * REACH + 1, stride=1, padding=REACH)
    resized = interpolate(widened, size)
    # A map without attention, such as that of no word at all, is nowhere above it.
    above = resized > threshold * resized.amax(dim=(2, 3), keepdim=True)
    return above.any(dim=1, keepdim=True).unflatten(0, (-1, 2)).any(dim=1)


def blended_columns(
    pipe: DiffusionPipeline,
    pairs: Sequence[tuple[str, str]],
    blend: Blend | Sequence[Blend],
    threshold: float,
) -> list[list[list[list[int]]]]:
    """Find the token columns of the words that images are blended by.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    pairs : sequence of tuple of str
        Source and target prompts.
    blend : tuple of words, or sequence of those
        Of the source and of the target, for all pairs or for each.
    threshold : float

    Returns
    -------
    list of list of list of list of int, shape (pair, 2, word)

    Raises
    ------
    ParameterError
        If there is not one tuple for all pairs or one for each, a pair has no word at all, or the
        threshold is not from 0 to 1.
    TokenError
        If a word does not occur in its prompt.
    """
    if not 0 <= threshold < 1:
        raise ParameterError(
            f"blend_threshold is {threshold}; give a share of a word's highest attention, from 0 "
            "to below 1"
        )
    each: list[Any] = [blend] * len(pairs) if isinstance(blend, tuple) else list(blend)
    if len(each) != len(pairs) or not all(isinstance(o, tuple) and len(o) == 2 for o in each):
        raise ParameterError(
            f"blend is {blend!r}; give the words of the source and those of the target, as in "
            "('cat', 'dog'), or a list with such a pair for each pair of prompts"
        )
    columns = []
    for prompts, words in zip(pairs, each, strict=True):
        named = [[one] if isinstance(one, str) else list(one) for one in words]
        if not any(named):
            raise ParameterError("blend names no word; give at least one of either prompt")
        columns.append(
            [
                [word_columns(pipe, prompt, word) for word in own]
                for prompt, own in zip(prompts, named, strict=True)
            ]
        )
    return columns
