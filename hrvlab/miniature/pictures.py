"""The drawn training pictures, kept once on disk and read by every stage."""

from __future__ import annotations

import itertools
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from hrvlab.miniature.drawing import SIDE, draw
from hrvlab.miniature.scenes import Scene, caption, sample_scene
from hrvlab.typing import Images

TRAINING_WORLD = 1
HELD_OUT_WORLD = 2  # scenes that no stage ever trains on
CHUNK = 250


def _draw_chunk(start: int, world: int) -> NDArray[np.uint8]:
    return np.stack([draw(sample_scene(world, index)) for index in range(start, start + CHUNK)])


def draw_pictures(
    folder: Path, count: int, world: int = TRAINING_WORLD, workers: int = 2
) -> NDArray[np.uint8]:
    """Draw scenes 0 … count−1 of a world, or read them if they were drawn before.

    Returns
    -------
    ndarray of uint8, shape (count, 64, 64, 3)
        Memory-mapped.
    """
    path = folder / f"pictures-{world}-{count}.npy"
    if not path.exists():
        if count % CHUNK:
            raise ValueError(f"count must be a multiple of {CHUNK}, got {count}")
        folder.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial.npy")
        pictures = np.lib.format.open_memmap(partial_path, "w+", np.uint8, (count, SIDE, SIDE, 3))
        starts = range(0, count, CHUNK)
        with ProcessPoolExecutor(workers) as pool:
            chunks = pool.map(partial(_draw_chunk, world=world), starts)
            for start, chunk in zip(starts, tqdm(chunks, "draw", len(starts)), strict=True):
                pictures[start : start + CHUNK] = chunk
        pictures.flush()
        partial_path.rename(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def scenes_of(indices: NDArray[np.int64], world: int = TRAINING_WORLD) -> list[Scene]:
    """Give the scenes behind some pictures."""
    return [sample_scene(world, int(index)) for index in indices]


def captions_of(
    indices: NDArray[np.int64], rng: np.random.Generator, world: int = TRAINING_WORLD
) -> list[str]:
    """Write a caption for each of some pictures."""
    return [caption(scene, rng) for scene in scenes_of(indices, world)]


def held_out_captions(count: int, seed: int = 7) -> list[str]:
    """Write different captions, of at least two words, of scenes that no stage trains on."""
    rng = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    scenes = (sample_scene(HELD_OUT_WORLD, index) for index in itertools.count())
    while len(texts) < count:
        text = caption(next(scenes), rng)
        if " " in text:
            texts[text] = None
    return list(texts)


def as_images(pixels: Tensor) -> Images:
    """Turn pixels (n, 3, y, x) in [−1, 1] into bytes (n, y, x, 3)."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def as_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """Turn pictures (n, y, x, 3) into a float tensor (n, 3, y, x) in [−1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
