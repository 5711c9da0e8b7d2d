"""hrvlab beside attention-map-diffusers 1.0: one word's maps of all heads, in every step.

At the shapes of blocks of Stable Diffusion 1.4, SDXL and FLUX.1, in one run. Install the other
library where no project sees it, ``pip install --no-deps --target FOLDER
attention-map-diffusers==1.0.0``, and give the folder on ``PYTHONPATH``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
import typer
from diffusers import DiffusionPipeline

from hrvlab.attention import SpatialMaps, attach
from hrvlab.attention.kernel import Kernel, TextSoftmax, score_scale
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import word_columns
from timings.clocks import in_turn, peak_bytes, seconds
from timings.shapes import PROMPT, Builder, build, flux, stable_diffusion

OTHER = "attention_map_diffusers"
WORD = "rose"
STEPS, TIMED = 25, 10
PLAIN, OURS, THEIRS = "plain", "hrvlab", "attention-map-diffusers"
# At most: the time over plain generation, the memory over that of the other library, and the time
# of one token's map over that of the attention that it reads.
PROMISED = {"time": 1.03, "memory": 0.1, "map": 0.02}


class Shape(NamedTuple):
    """A block of a published shape, and the call that runs it."""

    builder: Builder
    config: Mapping[str, Any]
    call: Mapping[str, Any]


def _unet(channels: int, heads: int, width: int, side: int) -> Shape:
    config = {
        "sample_size": side,
        "block_out_channels": (channels,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
        "mid_block_type": None,
        "layers_per_block": 1,
        "attention_head_dim": heads,
        "cross_attention_dim": width,
    }
    return Shape(stable_diffusion, config, {"guidance_scale": 1.0})


def flux_blocks(
    heads: int, dim: int, side: int, tokens: int, blocks: tuple[int, int] = (1, 0)
) -> Shape:
    """Return so many double and single blocks of FLUX.1's shape, with fewer heads."""
    config = {
        "num_layers": blocks[0],
        "num_single_layers": blocks[1],
        "num_attention_heads": heads,
        "attention_head_dim": dim,
        "axes_dims_rope": (dim // 8, 7 * dim // 16, 7 * dim // 16),
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "in_channels": 64,
    }
    size = {"height": 16 * side, "width": 16 * side, "max_sequence_length": tokens}
    return Shape(flux, config, size)


SHAPES = {
    "SD 1.4: 8 heads of 40, 32 × 32 positions, 77 tokens": _unet(320, 8, 768, 32),
    "SDXL: 10 heads of 64, 16 × 16 positions, 77 tokens": _unet(640, 10, 2048, 16),
    "FLUX.1: 6 of its heads of 128, 32 × 32 positions, 512 tokens": flux_blocks(6, 128, 32, 512),
}
TINY = {
    "SD 1.4": _unet(32, 2, 64, 8),
    "FLUX.1": flux_blocks(2, 32, 4, 16),
}


def installed() -> bool:
    """Return whether the other library can be imported."""
    return find_spec(OTHER) is not None


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Time both libraries in turn, and take the peak memory of each over all steps."""
    if not installed():
        raise typer.BadParameter(
            "compared needs attention-map-diffusers 1.0.0 on PYTHONPATH; see timings/compared.py"
        )
    return {
        name: _shape(shape, rounds, quick) for name, shape in (TINY if quick else SHAPES).items()
    }


def _shape(shape: Shape, rounds: int, quick: bool) -> dict[str, Any]:
    pipe = build(shape.builder, shape.config, "cpu", torch.float32)
    runs = runs_of(pipe, shape.call)
    steps, timed = (2, 1) if quick else (STEPS, TIMED)

    def time_of(run: Callable[[int], object]) -> Callable[[], float]:
        return lambda: seconds(lambda: run(timed))

    timed_runs = {name: time_of(run) for name, run in runs.items()}
    found = {
        "seconds": in_turn(timed_runs, rounds, "compared"),
        "timed": timed,
        "steps": steps,
        "peak_bytes": {name: peak_bytes(lambda run=run: run(steps)) for name, run in runs.items()},
        "promised": PROMISED,
    }
    if shape.builder is flux:
        found["map"] = share_of_a_map(shape, rounds)
    return found


def share_of_a_map(shape: Shape, rounds: int) -> float:
    """Time one token's map, and divide by the attention that it reads: the least of all rounds."""
    config, call = shape.config, shape.call
    tokens, side = call["max_sequence_length"], call["height"] // 16
    heads = config["num_attention_heads"], config["attention_head_dim"]
    torch.manual_seed(0)
    # As a transformer's projections lay them out.
    drawn = torch.randn(3, 1, tokens + side**2, *heads).transpose(2, 3)
    query, key, value = drawn
    kernel, scale, column = Kernel(), score_scale(query, None), torch.tensor([tokens // 2])
    _, log_sum = kernel.attend(query, key, value, None, None)
    parts = query[:, :, tokens:], key[:, :, :tokens]

    def one_map() -> object:
        return TextSoftmax(*parts, scale, None, log_sum[:, :, tokens:]).maps(column)

    measured = in_turn(
        {
            "attention": lambda: seconds(lambda: kernel.attend(query, key, value, None, None)),
            "map": lambda: seconds(one_map),
        },
        4 * rounds,
        "one token's map",
    )
    return min(measured["map"]) / min(measured["attention"])


def runs_of(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Callable[[int], Any]]:
    """Return a plain run of so many steps, and one with each library that returns maps.

    Maps are arrays of shape (head, position), of every step and layer in this order.
    """
    own = {name: call[name] for name in ("max_sequence_length",) if name in call}
    (column,) = word_columns(pipe, PROMPT, WORD, **own)
    layers = cross_attention_layers(denoiser_of(pipe))

    def plain(steps: int) -> object:
        generator = torch.Generator().manual_seed(0)
        return pipe(
            PROMPT, num_inference_steps=steps, generator=generator, output_type="latent", **call
        ).images

    def ours(steps: int) -> list[Any]:
        tap = SpatialMaps([[[column]]], {layer.index: layer.downscale for layer in layers})
        with attach(pipe, tap, prompts=PROMPT, encoding=own):
            plain(steps)
        return [maps[0, :, 0].reshape(len(maps[0]), -1) for maps in tap.result().values()]

    def theirs(steps: int) -> list[Any]:
        given = {"relations": ["image->text"], "timesteps": "all", "heads": "all"}
        given |= {"tokens": [column], "allow_large_maps": True, "max_capture_bytes": None}
        with importlib.import_module(OTHER).AttentionCapture(pipe, **given) as seen:
            plain(steps)
        return [record.data[0, :, :, 0].float().numpy() for record in seen.compute()]

    return {PLAIN: plain, OURS: ours, THEIRS: theirs}
