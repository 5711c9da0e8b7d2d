"""What a run will take, before it is run: bytes, hours, and where to cut it into pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hrvlab.models.heads import Layer

FLOAT = COUNT = 4
SUM = 8
# Large enough to be read at once, small enough to be held many times over.
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
    """Forecast what each variable of a capture takes.

    Parameters
    ----------
    layers : sequence of Layer
    prompts, calls, tokens : int
    image_size : tuple of int
        Height and width of the pictures, in pixels.
    words : int
        How many words' spatial maps are kept.
    map_sizes : sequence of tuple of int or None
        For each layer, height and width of its maps; None: its maps are not kept.

    Returns
    -------
    dict of str to int
        Bytes of ``attention``, ``image`` and ``maps``. Every layer takes the room of the widest.
    """
    widest = max(layer.heads for layer in layers)
    positions = sum(math.prod(size) for size in map_sizes if size)
    return {
        "attention": FLOAT * prompts * calls * len(layers) * widest * tokens,
        "image": 3 * prompts * math.prod(image_size),
        "maps": FLOAT * prompts * calls * widest * words * positions,
    }


@dataclass(frozen=True)
class Run:
    """What a run of `hrvlab.collect_votes` takes.

    Parameters
    ----------
    hours : float
    read : int
        Bytes of weights that the workers read, and of finished batches when they are put together.
    written : int
        Bytes of finished batches and of the result, before compression.
    memory : int
        Bytes that a worker keeps beside what a UNet call itself needs: weights and counts.
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
    reading: float = 0.0,
    workers: int = 1,
    calls: int = 51,
    concepts: int = 34,
    batch_size: int = 8,
) -> Run:
    """Forecast what `hrvlab.collect_votes` takes.

    Parameters
    ----------
    head_positions : int
        The model's heads.
    weights : int
        Bytes of the model's weights.
    prompts : int
    seconds_per_call : float
        What one guided UNet call takes for one picture.
    reading : float
        What the hooks add to it, as a share.
    workers : int
        Devices that draw at the same time.
    calls, concepts, batch_size : int

    Returns
    -------
    Run
    """
    row = COUNT * head_positions * concepts
    batches = math.ceil(prompts / batch_size)
    # Each finished batch has its prompts' votes, and its own sums by call.
    finished = prompts * row + batches * calls * row
    result = prompts * row + SUM // COUNT * calls * row
    return Run(
        hours=prompts * calls * seconds_per_call * (1 + reading) / workers / 3600,
        read=workers * weights + finished,
        written=finished + result,
        memory=weights + batch_size * row + 2 * SUM // COUNT * calls * row,
        chunk=max(1, CHUNK_BYTES // row),
    )
