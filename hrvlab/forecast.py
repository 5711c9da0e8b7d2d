"""Forecasts of the bytes and hours that a run will take, and of its chunk size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hrvlab.models.heads import Layer

FLOAT = COUNT = 4
SUM = 8
# Large enough to be read efficiently, small enough for many to fit into memory.
CHUNK_BYTES = 16 * 1024**2


def capture_bytes(
    layers: Sequence[Layer],
    *,
    prompts: int,
    calls: int,
    tokens: int,
    image_size: tuple[int, int],
    words: int = 0,
    map_sizes: Sequence[tuple[int, int] | None] = (),
) -> dict[str, int]:
    """Forecast the size of each variable of a capture.

    Parameters
    ----------
    layers : sequence of Layer
    prompts, calls, tokens : int
    image_size : tuple of int
        Height and width of the images, in pixels.
    words : int
        Number of words whose spatial maps are kept.
    map_sizes : sequence of tuple of int or None
        For each layer, height and width of its maps; None: its maps are not kept.

    Returns
    -------
    dict of str to int
        Bytes of ``attention``, ``image`` and ``maps``, all layers padded to the largest number of
        heads.
    """
    widest = max(layer.heads for layer in layers)
    positions = sum(math.prod(size) for size in map_sizes if size)
    return {
        "attention": FLOAT * prompts * calls * len(layers) * widest * tokens,
        "image": 3 * prompts * math.prod(image_size),
        "maps": FLOAT * prompts * calls * widest * words * positions,
    }


@dataclass(frozen=True)
class Forecast:
    """The time and space that a run of `hrvlab.collect_votes` takes.

    Parameters
    ----------
    hours : float
    read : int
        Bytes of weights that the workers read, and of finished batches when they are combined.
    written : int
        Bytes of finished batches and of the result, before compression.
    memory : int
        Bytes of weights and counts that a worker holds, besides what a denoiser call needs.
    chunk : int
        Prompts in one chunk of the result.
    """

    hours: float
    read: int
    written: int
    memory: int
    chunk: int


def forecast_votes(
    *,
    head_positions: int,
    weights: int,
    prompts: int,
    seconds_per_call: float,
    overhead: float = 0.0,
    workers: int = 1,
    calls: int = 51,
    concepts: int = 34,
    batch_size: int = 8,
) -> Forecast:
    """Forecast the time and space that `hrvlab.collect_votes` takes.

    Parameters
    ----------
    head_positions : int
        Number of the model's heads.
    weights : int
        Bytes of the model's weights.
    prompts : int
    seconds_per_call : float
        Duration of one guided denoiser call for one image.
    overhead : float
        Time that the hooks add to it, as a share.
    workers : int
        Devices that generate at the same time.
    calls : int
        Denoiser calls per image.
    concepts, batch_size : int

    Returns
    -------
    Forecast
    """
    row = COUNT * head_positions * concepts
    batches = math.ceil(prompts / batch_size)
    # Each finished batch has its prompts' votes, and its own sums by call.
    finished = prompts * row + batches * calls * row
    result = prompts * row + SUM // COUNT * calls * row
    return Forecast(
        hours=prompts * calls * seconds_per_call * (1 + overhead) / workers / 3600,
        read=workers * weights + finished,
        written=finished + result,
        memory=weights + batch_size * row + 2 * SUM // COUNT * calls * row,
        chunk=max(1, CHUNK_BYTES // row),
    )
