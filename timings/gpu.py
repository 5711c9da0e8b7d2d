"""What observing costs on an accelerator: ``python -m timings.gpu results.json`` (≤ 6 minutes).

Denoisers of the shapes of Stable Diffusion 1.4, SDXL, Stable Diffusion 3.5 medium and FLUX.1, with
random weights in bfloat16. From the second call of a text on, whatever waits for the accelerator
within a denoiser's call is an error.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from diffusers import DiffusionPipeline

import hrvlab as hl
from hrvlab.attention import Part, Rescale, SpatialMaps, TokenMeans, attach, concept_votes
from hrvlab.models.families import denoiser_of, family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.votes import draw_words
from timings.full_size import SD14, random_words
from timings.shapes import (
    PROMPT,
    Builder,
    build,
    flux,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
)
from timings.tables import SDXL

WORD = "rose"
SD35: dict[str, Any] = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
FLUX: dict[str, Any] = {
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}
MODELS: dict[str, tuple[Builder, Mapping[str, Any]]] = {
    "SD 1.4": (stable_diffusion, SD14),
    "SDXL": (stable_diffusion_xl, SDXL),
    "SD 3.5 medium": (stable_diffusion_3, SD35),
    "FLUX.1": (flux, FLUX),
}
SMALL_UNET = {"sample_size": 8, "block_out_channels": (32, 32, 32, 32), "cross_attention_dim": 64}
TINY: dict[str, tuple[Builder, Mapping[str, Any]]] = {
    "SD 1.4": (stable_diffusion, SD14 | SMALL_UNET),
    "SD 3.5 medium": (
        stable_diffusion_3,
        SD35
        | {
            "sample_size": 8,
            "num_layers": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "joint_attention_dim": 256,
            "caption_projection_dim": 16,
            "pooled_projection_dim": 128,
            "pos_embed_max_size": 8,
            "dual_attention_layers": (0,),
        },
    ),
    "FLUX.1": (
        flux,
        {
            "in_channels": 64,
            "num_layers": 1,
            "num_single_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 32,
            "axes_dims_rope": (4, 14, 14),
            "joint_attention_dim": 64,
            "pooled_projection_dim": 64,
            "guidance_embeds": True,
        },
    ),
}
VOTING = ("SD 1.4", "SDXL")
TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def main(
    output: Annotated[Path, typer.Argument(help="JSON file to write.")],
    batch: Annotated[int, typer.Option(help="Images at a time.")] = 8,
    steps: Annotated[int, typer.Option(help="Denoiser calls of a run.")] = 3,
    rounds: Annotated[int, typer.Option(help="Timed runs, after one that warms up.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Measure tiny sizes, as a test.")] = False,
) -> None:
    """Measure on this machine's accelerator, or without one on its processor."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    results: dict[str, Any] = {"device": name, "torch": torch.__version__, "batch": batch}
    for model, (builder, config) in (TINY if quick else MODELS).items():
        results[model] = measure(builder, config, device, batch, steps, rounds, quick=quick)
        if model in VOTING:
            results[model]["vote flips"] = flips(builder, config, device, steps, quick=quick)
        # A run that is cut short has what was measured until then.
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def measure(
    builder: Builder,
    config: Mapping[str, Any],
    device: str,
    batch: int,
    steps: int,
    rounds: int,
    *,
    quick: bool,
) -> dict[str, Any]:
    """Measure milliseconds a denoiser call and peak memory: plain, and with every observer."""
    pipe = build(builder, config, device, torch.bfloat16)
    call = call_of(pipe, steps, quick=quick)
    own = family_of(pipe).encoding(pipe, call)
    prompts = [PROMPT] * batch
    found: dict[str, Any] = {}
    for name, parts in parts_of(pipe, batch, own).items():
        runs, peaks = [], []
        for _ in range(rounds + 1):
            with measured(device) as one:
                if parts is None:
                    pipe(prompts, **call)
                else:
                    observers = parts()
                    with (
                        attach(pipe, *observers, prompts=prompts, encoding=own),
                        no_waiting(pipe, device),
                    ):
                        pipe(prompts, **call)
                    results = [getattr(part, "result", None) for part in observers]
                    for result in filter(None, results):
                        result()
            runs.append(one["seconds"] / steps * 1000)
            peaks.append(one["peak"])
        found[name] = {"milliseconds": runs[1:], "peak_bytes": max(peaks)}
    plain = np.median(found["plain"]["milliseconds"])
    for one in found.values():
        one["over plain"] = float(np.median(one["milliseconds"]) / plain)
    del pipe
    _empty(device)
    return found


def call_of(pipe: DiffusionPipeline, steps: int, *, quick: bool) -> dict[str, Any]:
    """Return the keywords of a run."""
    call: dict[str, Any] = {"num_inference_steps": steps, "output_type": "latent"}
    if quick and hasattr(pipe, "transformer"):
        call |= {"max_sequence_length": 16, "height": 64, "width": 64}
    return call


def parts_of(
    pipe: DiffusionPipeline, batch: int, own: Mapping[str, Any]
) -> dict[str, Callable[[], list[Part]] | None]:
    """Return what is attached in each run; None: nothing."""
    layers = cross_attention_layers(denoiser_of(pipe))
    columns = word_columns(pipe, PROMPT, WORD, **own)
    factors = np.linspace(-2.0, 2.0, sum(layer.heads for layer in layers))
    parts: dict[str, Callable[[], list[Part]] | None] = {
        "plain": None,
        "means of all tokens": lambda: [TokenMeans()],
        "maps of one word": lambda: [
            SpatialMaps([[columns]] * batch, {layer.index: layer.downscale for layer in layers})
        ],
        "an edit": lambda: [Rescale(factors, WORD)],
    }
    family: Any = family_of(pipe)
    denoiser = family.denoiser(pipe)
    if hasattr(pipe, "unet"):
        words, counts = random_words(denoiser.config.cross_attention_dim)
    else:
        words, counts = random_words(denoiser.config.joint_attention_dim)
        through = (denoiser.context_embedder,)
        words = replace(words, through=through, columns=(1, 0), carrier=family)

    def draw(call: int, count: int, samples: int) -> np.ndarray:
        drawn = [draw_words(0, sample, call, count, counts) for sample in range(samples)]
        return np.stack(drawn, axis=1)

    parts["votes of 34 concepts"] = lambda: [concept_votes(words, counts, draw)]
    return parts


def flips(
    builder: Builder, config: Mapping[str, Any], device: str, steps: int, *, quick: bool
) -> dict[str, float]:
    """Measure the share of votes that are others than those of the same weights in float32."""
    cast = {}
    for name in ("float32", *TYPES):
        pipe = build(builder, config, device, torch.float32)
        if name in TYPES:
            pipe.to(TYPES[name])
        call = call_of(pipe, steps, quick=quick)
        call.pop("output_type")
        concepts = hl.ConceptSet.read("miniature")
        votes = hl.collect_votes(pipe, concepts, PROMPT, progress=False, **call)
        cast[name] = votes["votes_by_timestep"].argmax("concept").values
        del pipe
        _empty(device)
    return {name: float((cast[name] != cast["float32"]).mean()) for name in TYPES}


@contextmanager
def measured(device: str) -> Iterator[dict[str, float]]:
    """Measure seconds and peak memory of a block, until the device has finished."""
    found = {"seconds": 0.0, "peak": 0.0}
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    yield found
    if device == "cuda":
        torch.cuda.synchronize()
        found["peak"] = float(torch.cuda.max_memory_allocated())
    found["seconds"] = time.perf_counter() - start


@contextmanager
def no_waiting(pipe: DiffusionPipeline, device: str) -> Iterator[None]:
    """Make waiting for the device an error within the denoiser's calls, from the second on."""
    calls = 0

    def begin(*_: object) -> None:
        nonlocal calls
        calls += 1
        if device == "cuda" and calls > 1:
            torch.cuda.set_sync_debug_mode("error")

    def end(*_: object) -> None:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")

    denoiser = denoiser_of(pipe)
    handles = [
        denoiser.register_forward_pre_hook(begin, prepend=True),
        denoiser.register_forward_hook(end, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _empty(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    typer.run(main)
