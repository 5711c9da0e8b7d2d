"""The panel: prompts on which every head of an atlas is shown, with images, attention and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.models.tokens import name_occurrence
from hrvlab.relevance.vectors import stack_heads
from hrvlab.words import CONTENT, group_columns, number_words

FEATURED = 2  # prompts whose maps are kept by word and step
STEPS_KEPT = 8
MAP_SIDE, WORD_MAP_SIDE = 8, 16  # largest sides of maps that are kept


@dataclass(frozen=True)
class Featured:
    """A prompt whose maps are kept for every word, at some of the denoiser calls.

    Parameters
    ----------
    prompt : int
        Its number in the panel.
    words : list of str
    steps : list of int
        The denoiser calls that are kept, from 0.
    calls : int
        How many there were.
    maps : mapping of int to ndarray of float32, shape (step, head, word, y, x)
        By layer: shares of every position's attention.
    """

    prompt: int
    words: list[str]
    steps: list[int]
    calls: int
    maps: Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True)
class Panel:
    """Images of prompts, and what every head attends to in them.

    Parameters
    ----------
    prompts : list of str
    seeds : list of int
    images : ndarray of uint8, shape (prompt, y, x, channel)
    attention : ndarray of float32, shape (prompt, head_position, token)
        Mean over positions and denoiser calls.
    words : list of dict of str to list of int
        For each prompt, its words and their token columns.
    maps : mapping of int to ndarray of float32, shape (prompt, head, y, x)
        By layer: the map of the word that the head attends to most, mean over denoiser calls.
    map_word : ndarray of uint16, shape (prompt, head_position), optional
        Which word of the prompt that is.
    featured : sequence of Featured
    """

    prompts: list[str]
    seeds: list[int]
    images: NDArray[np.uint8]
    attention: NDArray[np.float32]
    words: list[dict[str, list[int]]]
    maps: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    map_word: NDArray[np.uint16] | None = None
    featured: Sequence[Featured] = ()

    def word_shares(self) -> NDArray[np.float32]:
        """Sum the attention over the columns of each word.

        Returns
        -------
        ndarray of float32, shape (prompt, head_position, word)
            NaN behind the last word of a prompt.
        """
        longest = max((len(words) for words in self.words), default=0)
        shares = np.full((*self.attention.shape[:2], longest), np.nan, np.float32)
        for prompt, words in enumerate(self.words):
            for word, columns in enumerate(words.values()):
                shares[prompt, :, word] = self.attention[prompt][:, columns].sum(-1)
        return shares

    def entropy(self) -> NDArray[np.float32]:
        """Compute how evenly every head spreads its attention over the columns of a prompt.

        Returns
        -------
        ndarray of float32, shape (head_position)
            The entropy of the mean attention, as a share of the largest that is possible, averaged
            over prompts. In joint attention the image counts as one more column.
        """
        rest = np.clip(1 - self.attention.sum(-1, keepdims=True), 0, None)
        whole = np.concatenate([self.attention, np.where(rest > 1e-4, rest, 0)], axis=-1)
        terms = np.zeros_like(whole)
        np.log(whole, out=terms, where=whole > 0)
        most = np.log(max(self.attention.shape[-1], 2))
        return (-(whole * terms).sum(-1) / most).mean(0).astype(np.float32)


def words_of(tokens: Sequence[tuple[str, str, int]]) -> dict[str, list[int]]:
    """Return the words of a prompt and their columns.

    Parameters
    ----------
    tokens : sequence of (kind, word, number)
        Of every column, see `hrvlab.words.group_columns`.

    Returns
    -------
    dict of str to list of int
    """
    kinds, words, numbers = (list(each) for each in zip(*tokens, strict=True))
    parts = group_columns(kinds, words, numbers)
    return {name: columns for name, columns in parts.items() if kinds[columns[0]] == CONTENT}


def panel_of_capture(capture: xr.Dataset | xr.DataTree, heads: xr.Dataset) -> Panel:
    """Make a panel of a capture.

    Parameters
    ----------
    capture : xarray.Dataset or xarray.DataTree
        From `hrvlab.capture`; with maps, the first two prompts are featured.
    heads : xarray.Dataset
        With ``layer`` and ``head`` along ``head_position``.

    Returns
    -------
    Panel

    Raises
    ------
    ParameterError
        If the capture has no layers of these heads, or holds no images.
    """
    dataset = capture.to_dataset() if isinstance(capture, xr.DataTree) else capture
    if "image" not in dataset or "attention" not in dataset:
        raise ParameterError("the capture holds no attention or no images; give one of hl.capture")
    means = stack_heads(dataset["attention"].mean("timestep"), heads)
    attention = means.transpose("prompt", "head_position", "token").values.astype(np.float32)
    texts = [str(text) for text in dataset["prompt_text"].values]
    words = [words_of(_tokens(dataset.isel(prompt=p), text)) for p, text in enumerate(texts)]
    tree = capture if isinstance(capture, xr.DataTree) else None
    count = min(FEATURED, len(texts)) if tree is not None and tree.children else 0
    featured = [_featured(tree, prompt) for prompt in range(count)] if tree is not None else []
    return Panel(
        texts,
        [int(seed) for seed in np.broadcast_to(dataset["seed"].values, len(texts))],
        dataset["image"].values,
        attention,
        words,
        featured=featured,
    )


def heads_of_capture(capture: xr.Dataset | xr.DataTree) -> xr.DataArray:
    """Return vectors of no concept, with the heads of a capture.

    Parameters
    ----------
    capture : xarray.Dataset or xarray.DataTree
        From `hrvlab.capture`.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``, of shape (0, head_position).
    """
    dataset = capture.to_dataset() if isinstance(capture, xr.DataTree) else capture
    counts = dataset["heads"].values.astype(int)
    layer = np.repeat(np.arange(len(counts)), counts)
    along = {name: dataset[name].values[layer] for name in ("block", "block_layer", "grid")}
    along["layer"] = dataset["layer"].values[layer]
    along["head"] = np.concatenate([np.arange(count) for count in counts])
    coords = {name: ("head_position", values) for name, values in along.items()}
    return xr.DataArray(
        np.empty((0, len(layer))),
        dims=("concept", "head_position"),
        coords={"concept": np.array([], str), "head_position": np.arange(len(layer)), **coords},
        attrs=dataset.attrs,
    )


def _tokens(one: xr.Dataset, text: str) -> list[tuple[str, str, int]]:
    """Return kind, word and number of every column of a captured prompt."""
    kinds, words, tokens = (one[n].values.tolist() for n in ("token_kind", "word", "token_text"))
    named = "word_number" in one.coords
    numbers = one["word_number"].values if named else number_words(kinds, words, tokens, text)
    return list(zip(kinds, words, numbers, strict=True))


def _featured(tree: xr.DataTree, prompt: int) -> Featured:
    """Reduce a captured prompt's maps to the steps and sides that an atlas keeps."""
    nodes = [tree[name].to_dataset()["maps"].isel(prompt=prompt) for name in tree.children]
    dataset = tree.to_dataset()
    calls = dataset.sizes["timestep"]
    steps = kept_steps(calls)
    maps = {}
    for node in nodes:
        chosen = node.isel(timestep=steps)
        dims = ("map_layer", "timestep", "head", "map_word", "map_y", "map_x")
        for layer, values in zip(
            node["map_layer"].values, chosen.transpose(*dims).values, strict=True
        ):
            own = int(dataset["heads"].values[int(layer)])
            maps[int(layer)] = pool(values[:, :own], WORD_MAP_SIDE)
    seen: dict[str, int] = {}
    words = []
    for word in map(str, nodes[0]["map_word"].values):
        seen[word] = seen.get(word, 0) + 1
        words.append(name_occurrence(word, seen[word]))
    return Featured(prompt, words, steps, calls, maps)


def kept_steps(calls: int) -> list[int]:
    """Return the denoiser calls that are kept: eight at most, evenly spread, the last included."""
    return sorted({round(step) for step in np.linspace(0, calls - 1, min(STEPS_KEPT, calls))})


def pool(maps: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    """Average maps over neighbors until no side is longer than a given one.

    Parameters
    ----------
    maps : ndarray of float, shape (..., y, x)
    side : int

    Returns
    -------
    ndarray of float32, shape (..., y, x)
    """
    pooled: NDArray[np.floating] = np.asarray(maps, np.float32)
    for axis in (-2, -1):
        length = pooled.shape[axis]
        if length <= side:
            continue
        edges = np.linspace(0, length, side + 1).round().astype(int)
        sums = np.add.reduceat(pooled, edges[:-1], axis=axis)
        widths = np.diff(edges).reshape([-1, 1] if axis == -2 else [1, -1])
        pooled = sums / widths
    return pooled.astype(np.float32)
