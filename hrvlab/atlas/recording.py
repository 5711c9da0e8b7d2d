"""Record the panel of an atlas: maps are reduced while images are generated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.atlas.panel import (
    FEATURED,
    MAP_SIDE,
    WORD_MAP_SIDE,
    Featured,
    Panel,
    kept_steps,
    pool,
    words_of,
)
from hrvlab.attention.taps import attention_map, map_size, split_heads
from hrvlab.errors import CoverageError
from hrvlab.forecast import forecast_calls
from hrvlab.generation import as_uint8, plan_batches, run_batch
from hrvlab.inputs.prompts import as_prompts
from hrvlab.keywords import check_call
from hrvlab.models.families import family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.progress import track
from hrvlab.words import number_words

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.attention.kernel import TextSoftmax
    from hrvlab.models.columns import Token
    from hrvlab.models.layers import Layer
    from hrvlab.typing import Key, Probabilities, Prompts, Query


class ReducedMaps:
    """Attention of a batch, reduced as it is read: sums over calls, small maps of every word.

    Parameters
    ----------
    columns : sequence of sequence of list of int, shape (sample, word)
        The token columns of each word in each sample's prompt.
    featured : collection of int
        Samples whose maps are kept by call, too.
    steps : collection of int
        The denoiser calls in which they are.
    """

    def __init__(
        self,
        columns: Sequence[Sequence[Sequence[int]]],
        featured: Collection[int],
        steps: Collection[int],
    ) -> None:
        self._columns = columns
        self._featured = list(featured)
        self._steps = set(steps)

    def begin(self, layers: Sequence[Layer], modules: Sequence[torch.nn.Module]) -> None:
        """Start an empty record."""
        self.calls = 0
        self.means: dict[int, Tensor] = {}
        self.maps: dict[int, NDArray[np.float32]] = {}
        self.kept: dict[int, list[NDArray[np.float32]]] = {layer.index: [] for layer in layers}

    def observe(self, call: Call, layer: Layer, query: Query, key: Key, scale: float) -> None:
        """Reduce a map of cross-attention."""
        maps = attention_map(*split_heads(call, layer, query, key), scale, call.key_bias)
        self._keep(call, layer, maps.mean(dim=2), maps)

    def observe_joint(self, call: Call, layer: Layer, text: TextSoftmax) -> None:
        """Reduce the text columns of a joint softmax."""
        self._keep(call, layer, text.means(), text.maps(slice(None)))

    def _keep(self, call: Call, layer: Layer, means: Tensor, maps: Probabilities) -> None:
        self.calls = call.index + 1
        self.means[layer.index] = self.means.get(layer.index, 0) + means.cpu()
        samples, tokens = maps.shape[0], maps.shape[-1]
        longest = max(len(words) for words in self._columns)
        select = torch.zeros(samples, longest, tokens)
        for sample, words in enumerate(self._columns):
            for word, columns in enumerate(words):
                select[sample, word, list(columns)] = 1.0
        of_words = torch.einsum("shpt,swt->shwp", maps, select.to(maps.device))
        size = map_size(call.latent_size, layer.downscale)
        fine = pool(of_words.unflatten(-1, size).cpu().numpy(), WORD_MAP_SIDE)
        if call.index in self._steps and self._featured:
            self.kept[layer.index].append(fine[self._featured])
        self.maps[layer.index] = self.maps.get(layer.index, np.float32(0)) + pool(fine, MAP_SIDE)


def record_panel(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    seed: int = 0,
    batch_size: int = 8,
    progress: bool = True,
    **call: Any,
) -> Panel:
    """Generate images of prompts, and record what every head attends to in them.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    prompts : str, Path, or iterable of str
        From 100 on, deciles are worth reading. The first two are featured: their maps are kept for
        every word, at eight denoiser calls.
    seed : int
        Of the initial noise.
    batch_size : int
        Images that go through the model together.
    progress : bool
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``.

    Returns
    -------
    Panel

    Raises
    ------
    ParameterError
        If a prompt is empty or a keyword is wrong.
    CoverageError
        If the attention is not finite.

    Examples
    --------
    >>> from hrvlab.atlas import record_panel
    >>> panel = record_panel(pipe, ["a red car", "a cat"], num_inference_steps=2, progress=False)
    >>> panel.attention.shape, panel.images.shape
    ((2, 128, 32), (2, 64, 64, 3))
    >>> [list(words) for words in panel.words]
    [['a', 'red', 'car'], ['a', 'cat']]
    """
    texts = as_prompts(prompts)
    keywords = check_call(pipe, call, prompts=len(texts), images=len(texts))
    family = family_of(pipe)
    layers = cross_attention_layers(family.denoiser(pipe))
    tables = [family.token_table(pipe, text, **family.encoding(pipe, call)) for text in texts]
    words = [_words(table, text) for table, text in zip(tables, texts, strict=True)]
    calls = forecast_calls(pipe, call)
    steps = kept_steps(calls)
    batches = plan_batches(texts, [seed], batch_size)
    parts, images, featured = [], [], []
    for batch in track(batches, "panel", disable=not progress or len(batches) == 1):
        shown = [n for n, index in enumerate(batch.indices) if index < FEATURED]
        columns = [list(words[index].values()) for index in batch.indices]
        tap = ReducedMaps(columns, shown, steps)
        made = run_batch(pipe, batch, tap, output_type="np", **keywords)
        images.append(as_uint8(made.images))
        parts.append(_reduce(tap, layers))
        featured += [
            _featured(tap, n, batch.indices[n], list(words[batch.indices[n]]), steps)
            for n in range(len(shown))
        ]
    return Panel(
        texts,
        [seed] * len(texts),
        np.concatenate(images),
        np.concatenate([attention for attention, _, _ in parts]),
        words,
        {
            layer.index: np.concatenate([maps[layer.index] for _, maps, _ in parts])
            for layer in layers
        },
        np.concatenate([most for _, _, most in parts]),
        featured,
    )


def _words(table: Sequence[Token], text: str) -> dict[str, list[int]]:
    """Return the words of a prompt and their columns in its table of tokens."""
    kinds, words = [token.kind for token in table], [token.word for token in table]
    numbers = number_words(kinds, words, [token.text for token in table], text)
    return words_of(list(zip(kinds, words, numbers, strict=True)))


def _reduce(
    tap: ReducedMaps, layers: Sequence[Layer]
) -> tuple[NDArray[np.float32], dict[int, NDArray[np.float32]], NDArray[np.uint16]]:
    """Average a batch over calls; keep the maps of the words that heads attend to most."""
    if not tap.means:
        raise CoverageError("no attention was read; the pipeline made no denoiser call")
    attention = torch.cat([tap.means[layer.index] for layer in layers], dim=1) / tap.calls
    if not torch.isfinite(attention).all():
        raise CoverageError(
            "the attention is NaN or infinite; load the model in float32 or bfloat16"
        )
    maps, most = {}, []
    for layer in layers:
        of_words = tap.maps[layer.index] / tap.calls
        word = of_words.mean((-2, -1)).argmax(-1)
        most.append(word.astype(np.uint16))
        chosen = np.take_along_axis(of_words, word[:, :, None, None, None], 2)
        maps[layer.index] = chosen[:, :, 0].astype(np.float32)
    return attention.numpy(), maps, np.concatenate(most, axis=1)


def _featured(
    tap: ReducedMaps, number: int, prompt: int, words: list[str], steps: list[int]
) -> Featured:
    """Take the maps of one featured sample of a batch."""
    maps = {
        layer: np.stack([call[number][:, : len(words)] for call in calls])
        for layer, calls in tap.kept.items()
    }
    return Featured(prompt, words, steps[: len(next(iter(maps.values())))], tap.calls, maps)
