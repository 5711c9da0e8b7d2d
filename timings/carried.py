"""The cost of votes in joint attention, whose words are carried beside the prompt.

In blocks of FLUX.1's shape with a quarter of its heads, at 512 × 512 pixels, one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from hrvlab.attention import PassiveVotes, attach
from hrvlab.models.families import Carrier, WordEncodings, family_of
from hrvlab.relevance.draws import draw_words
from timings.clocks import in_situ, in_turn
from timings.compared import flux_blocks
from timings.shapes import PROMPT, build

CONCEPTS, TOKENS = 21, 3  # 64 columns, with the sink's
CALLS = 2  # the first also prepares what later ones use
# Time of the words, votes included, over that of the block without them, at most.
PROMISED = 0.12
# Of double and of single blocks; words enter a model once for all of its blocks.
BLOCKS = {"double": (8, 0), "single": (0, 8)}


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Time the words' stream and its votes in situ, in a double and in a single block."""
    sizes = (2, 32, 4, 16) if quick else (6, 128, 32, 256)
    found: dict[str, Callable[[], float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in BLOCKS}
    for name, blocks in BLOCKS.items():
        shape = flux_blocks(*sizes, blocks)
        pipe = build(shape.builder, shape.config, "cpu", torch.float32)
        found[name] = overhead_of(pipe, shape.call, seconds[name])
    measured = in_turn(found, rounds, "carried")
    heads, _, side, text = sizes
    return {
        "columns": 1 + CONCEPTS * TOKENS,
        "text": text,
        "positions": side**2,
        "heads": heads,
        "overhead": measured,
        "seconds": {
            name: (np.array(values[-rounds:]) / sum(BLOCKS[name])).tolist()
            for name, values in seconds.items()
        },
        "promised": PROMISED,
    }


def overhead_of(
    pipe: DiffusionPipeline, call: Mapping[str, Any], seconds: list[float]
) -> Callable[[], float]:
    """Return a measurement of the words' time over the rest of a call, which it keeps too."""
    family, transformer = family_of(pipe), pipe.transformer
    assert isinstance(family, Carrier)
    own = family.encoding(pipe, call)
    width = transformer.config.joint_attention_dim
    generator = torch.Generator().manual_seed(0)
    words = WordEncodings(
        torch.randn(width, generator=generator),
        list(torch.randn(CONCEPTS, TOKENS, width, generator=generator)),
        (transformer.context_embedder,),
        (1, 0),
        family,
    )
    counts = [1] * CONCEPTS

    def draw(index: int, layers: int, samples: int) -> np.ndarray:
        return draw_words(0, 0, index, layers, counts)[:, None]

    def overhead() -> float:
        tap = PassiveVotes(words, counts, draw)
        with attach(pipe, tap, prompts=PROMPT, encoding=own), in_situ(transformer) as clock:
            pipe(PROMPT, num_inference_steps=CALLS, output_type="latent", **call)
        tap.result()
        seconds.append(clock.calls[-1] - clock.hooks[-1])
        return clock.overhead(first=1)

    return overhead
