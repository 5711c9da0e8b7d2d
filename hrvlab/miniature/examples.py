"""What every denoiser is trained on: which scenes it sees, with which captions, and noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hrvlab.miniature.autoencoder import encode_images, scaling_factor
from hrvlab.miniature.dataset import scenes_of
from hrvlab.miniature.tokens import MAX_LENGTH, encode_captions, kept_tokenizer

if TYPE_CHECKING:
    from numpy.random import Generator

EMPTY_CAPTIONS = 0.1  # share of captions dropped, for classifier-free guidance
WORDS_ALONE = 0.75  # share of the others with the end and padding tokens of another caption …
WORDS_ALONE_FROM = 0.06  # … after this share of the training
# Attributes that are learned last, and how much more often single objects with them are seen.
LEARNED_LAST = (
    *("green", "brown", "white", "gray"),
    *("metal", "glass", "stone", "gold"),
    *("zigzag", "polka-dot", "plaid", "sketch", "sunny", "snowy", "desert"),
)
MORE_OFTEN = 1.6


@dataclass(frozen=True)
class TrainingBatch:
    """Latents, noise for them, and captions.

    Parameters
    ----------
    clean, noise : ndarray of float32, shape (n, channel, 16, 16)
        Scaled latents, and normal noise.
    ids : ndarray of int64, shape (n, token)
        Token ids of the captions, some of them empty.
    dropped : ndarray of bool, shape (n,)
        Which captions are empty.
    swapped : ndarray of bool, shape (n,)
        Which of the others get the end and padding tokens of another caption.
    """

    clean: NDArray[np.float32]
    noise: NDArray[np.float32]
    ids: NDArray[np.int64]
    dropped: NDArray[np.bool_]
    swapped: NDArray[np.bool_]


class Examples:
    """The training scenes' latents and captions.

    Parameters
    ----------
    folder : Path
        Working folder.
    side : int
        Of the images.
    images : int
        Training images.

    Attributes
    ----------
    factor : float
        Scales latents to unit standard deviation.
    empty : list of int
        Token ids of the empty caption.
    """

    def __init__(self, folder: Path, *, side: int, images: int) -> None:
        self._latents = encode_images(folder, side=side, images=images)
        self._captions = encode_captions(folder, images)
        self._cumulative = np.cumsum(scene_probabilities(images))
        self.factor = scaling_factor(self._latents)
        tokenizer = kept_tokenizer(folder)
        self.empty = tokenizer("", padding="max_length", max_length=MAX_LENGTH).input_ids

    def sample(self, rng: Generator, count: int, progress: float) -> TrainingBatch:
        """Sample some of them.

        Parameters
        ----------
        rng : numpy.random.Generator
        count : int
        progress : float
            Share of the training that is over.

        Returns
        -------
        TrainingBatch
        """
        images = len(self._latents)
        chosen = np.searchsorted(self._cumulative, rng.random(count)).clip(max=images - 1)
        kinds = rng.integers(self._captions.shape[1], size=count)
        ids = self._captions[chosen, kinds].astype(np.int64)
        dropped = rng.random(count) < EMPTY_CAPTIONS
        ids[dropped] = self.empty
        swapped = (rng.random(count) < WORDS_ALONE * (progress >= WORDS_ALONE_FROM)) & ~dropped
        clean = self._latents[chosen].astype(np.float32) * np.float32(self.factor)
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        return TrainingBatch(clean, noise, ids, dropped, swapped)


def scene_probabilities(images: int) -> NDArray[np.float64]:
    """Compute the probability with which each training scene is sampled.

    Parameters
    ----------
    images : int
        Training images.

    Returns
    -------
    ndarray of float64, shape (images,)
        Of sum 1.
    """
    weights = np.ones(images)
    for index, scene in enumerate(scenes_of(np.arange(images))):
        if len(scene.figures) == 1 and not set(LEARNED_LAST).isdisjoint(scene.attributes):
            weights[index] = MORE_OFTEN
    return weights / weights.sum()


def stratified(rng: Generator, count: int) -> NDArray[np.float64]:
    """Sample uniform numbers in [0, 1), one in each of equal intervals, in any order.

    Of noise levels sampled so, the loss has the same mean and less variance.
    """
    return rng.permutation((np.arange(count) + rng.random(count)) / count)
