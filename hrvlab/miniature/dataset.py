"""The training data: rendered images, cached on disk and shared by all stages, and captions."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hrvlab.miniature.arrays import kept_array, spread
from hrvlab.miniature.rendering import SIDE, render
from hrvlab.miniature.scenes import caption, sample_scene

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.miniature.scenes import Scene
    from hrvlab.typing import Images

TRAINING_WORLD = 1
HELD_OUT_WORLD = 2  # no stage trains on its scenes
CHUNK = 250


def _render_chunk(start: int, world: int, side: int) -> NDArray[np.uint8]:
    scenes = [sample_scene(world, index) for index in range(start, start + CHUNK)]
    return np.stack([render(scene, side) for scene in scenes])


def render_images(
    folder: Path, count: int, side: int = SIDE, world: int = TRAINING_WORLD
) -> NDArray[np.uint8]:
    """Render the first scenes of a world, or read them from an earlier run.

    Parameters
    ----------
    folder : Path
        Working folder, which keeps the images.
    count : int
        A multiple of 250.
    side : int
        Pixels, a multiple of 64.
    world : int
        Seed of the scenes.

    Returns
    -------
    ndarray of uint8, shape (count, side, side, 3)
        Memory-mapped.

    Raises
    ------
    ValueError
        If the count is no multiple of 250.
    StoreError
        If the Noto Color Emoji font is not installed.
    """
    path = folder / f"images-{world}-{side}-{count}.npy"
    if count % CHUNK:
        raise ValueError(f"count must be a multiple of {CHUNK}, got {count}")
    compute = partial(spread, partial(_render_chunk, world=world, side=side))
    return kept_array(path, (count, side, side, 3), np.uint8, compute, chunk=CHUNK)


def scenes_of(indices: NDArray[np.int64], world: int = TRAINING_WORLD) -> list[Scene]:
    """Return the scenes that images were rendered from."""
    return [sample_scene(world, int(index)) for index in indices]


def captions_of(
    indices: NDArray[np.int64], rng: np.random.Generator, world: int = TRAINING_WORLD
) -> list[str]:
    """Compose one caption for each of some images."""
    return [caption(scene, rng) for scene in scenes_of(indices, world)]


def held_out_captions(count: int, seed: int = 7) -> list[str]:
    """Compose distinct captions, of two words or more, for scenes held out of training."""
    rng = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    scenes = (sample_scene(HELD_OUT_WORLD, index) for index in itertools.count())
    while len(texts) < count:
        text = caption(next(scenes), rng)
        if " " in text:
            texts[text] = None
    return list(texts)


def as_images(pixels: Tensor) -> Images:
    """Convert float pixels (n, 3, y, x) in [−1, 1] to uint8 images (n, y, x, 3)."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Convert uint8 images (n, y, x, 3) to float pixels (n, 3, y, x) in [−1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_judged(images: NDArray[np.uint8]) -> Images:
    """Average pixels of images (n, y, x, 3) until they have the judge's size, 64 × 64."""
    pixels = as_tensor(images)
    return as_images(nn.functional.avg_pool2d(pixels, pixels.shape[-1] // SIDE))
