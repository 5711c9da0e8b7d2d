"""The cost of observing guided calls of a random UNet of Stable Diffusion 1.4's shape."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

import hrvlab as hl
from hrvlab.attention import ConceptVotes, SpatialMaps, TokenMeans, attach
from hrvlab.attention.calls import Tap
from hrvlab.models.families import WordEncodings
from hrvlab.models.heads import cross_attention_layers
from hrvlab.relevance.votes import draw_words
from timings.clocks import in_situ, in_turn, peak_bytes
from timings.naive import NaiveVotes

# The defaults of diffusers' UNet are those of Stable Diffusion 1.
SD14: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768}
SMALL: dict[str, Any] = SD14 | {"sample_size": 16, "block_out_channels": (32, 32, 64, 64)}
TOKENS, MAP_GRID = 77, 16
VOTES, MEANS, MAPS = "votes of 34 concepts", "means of 77 tokens", "16 × 16 maps of 77 tokens"
CALLS = 2  # the first also prepares what later ones use
# Time in hooks over the rest of a later call, at most.
PROMISED = {VOTES: 0.005, MEANS: 0.01, MAPS: 0.02}


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Time hooks in situ, and the naive implementation as a whole."""
    torch.manual_seed(0)
    parts = hl.load("miniature").components
    unet = UNet2DConditionModel(**(SMALL if quick else SD14)).eval()
    pipe = StableDiffusionPipeline(**parts | {"unet": unet}, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    width, side = unet.config.cross_attention_dim, unet.config.sample_size
    texts = {
        name: torch.randn(1, TOKENS, width) for name in ("prompt_embeds", "negative_prompt_embeds")
    }
    latents = torch.randn(1, unet.config.in_channels, side, side)
    words, counts = random_words(width)

    def draw(call: int, layers: int, samples: int) -> np.ndarray:
        return draw_words(0, 0, call, layers, counts)[:, None]

    def call() -> object:
        size = side * pipe.vae_scale_factor
        return pipe(
            num_inference_steps=CALLS, latents=latents, height=size, width=size,
            output_type="latent", **texts,
        )  # fmt: skip

    once: dict[str, list[float]] = defaultdict(list)

    def observed_by(name: str, tap: Callable[[], Tap]) -> Callable[[], float]:
        def overhead() -> float:
            observer = tap()
            with attach(pipe, observer), in_situ(unet) as clock:
                call()
            clock.count(observer.result)
            once[name].append(clock.hooks[0] - clock.hooks[1])
            return clock.overhead(first=1)

        return overhead

    def plain() -> float:
        with in_situ(unet) as clock:
            call()
        return clock.calls[-1]

    taps: dict[str, Callable[[], Tap]] = {
        VOTES: lambda: ConceptVotes(words, counts, draw),
        MEANS: TokenMeans,
        MAPS: lambda: maps_of(pipe, range(TOKENS), [MAP_GRID]),
        "all grids' maps of one token": lambda: maps_of(pipe, [5], None),
    }
    processors = unet.attn_processors

    def naive() -> float:
        NaiveVotes(pipe, words, counts, lambda call, layers: draw_words(0, 0, call, layers, counts))
        duration = plain()
        unet.set_attn_processor(dict(processors))
        return duration

    observed = {name: observed_by(name, tap) for name, tap in taps.items()}
    measured = in_turn({"plain": plain, **observed, "naive": naive}, rounds, "full size")
    seconds_once = {name: seconds[-rounds:] for name, seconds in once.items()}
    memory = {
        "plain": peak_bytes(call),
        VOTES: peak_bytes(observed[VOTES]),
        "naive": peak_bytes(naive),
    }
    seconds_plain = measured.pop("plain")
    seconds_naive = measured.pop("naive")
    return {
        "call": f"2 × {latents.shape[1]} × {side} × {side}",
        "parameters": sum(parameter.numel() for parameter in unet.parameters()),
        "plain_seconds": seconds_plain,
        "naive_seconds": seconds_naive,
        "overhead": measured,
        "once_seconds": seconds_once,
        "promised": PROMISED,
        "peak_bytes": memory,
    }


def maps_of(
    pipe: StableDiffusionPipeline, tokens: Iterable[int], grids: list[int] | None
) -> SpatialMaps:
    """Build a tap for the maps of tokens, in the layers of some grids or in all."""
    layers = cross_attention_layers(pipe.unet)
    side = pipe.unet.config.sample_size
    chosen = [layer for layer in layers if grids is None or layer.grid in grids]
    return SpatialMaps(
        [[[token] for token in tokens]], {layer.index: side // layer.grid for layer in chosen}
    )


def random_words(width: int) -> tuple[WordEncodings, list[int]]:
    """Encode the published words as random states, one for each word or punctuation mark."""
    concepts = hl.ConceptSet.read("published")
    content = [
        torch.randn(len(re.findall(r"\w+|[^\w\s]", word)), width)
        for words in concepts.words
        for word in words
    ]
    return WordEncodings(torch.randn(width), content), [len(words) for words in concepts.words]
