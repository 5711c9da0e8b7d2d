"""What hrvlab adds to generation with the miniature, against a naive implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from diffusers import DiffusionPipeline

import hrvlab as hl
from hrvlab.attention import ConceptVotes, attach
from hrvlab.generation import image_generator
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import content_columns
from hrvlab.relevance.votes import collect_votes, draw_words
from timings.clocks import in_situ, in_turn, seconds
from timings.naive import NaiveVotes, make_explicit, weakener

SOURCE, TARGET = "a red car", "a blue car"
WEAKER, STEPS, PAIR = -2.0, 25, 2
SWEEP = "weakened, as in a sweep"


class Workload(NamedTuple):
    """A call that generates images.

    Parameters
    ----------
    run : callable
    images : int
        Number of images that it generates.
    baseline : str
        The workload that it is compared with, per image.
    promised : str
        The promised ratio to it.
    """

    run: Callable[[], object]
    images: int
    baseline: str
    promised: str = ""


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Time all generating workloads, collecting votes, and the hooks of votes in situ."""
    steps, batch, prompts = (2, 4, 4) if quick else (STEPS, 16, 256)
    pipe = hl.load("miniature")
    loads = workloads(pipe, steps, batch)
    measured = in_turn(
        {name: lambda load=load: seconds(load.run) / load.images for name, load in loads.items()},
        rounds,
        "generating",
    )
    return {
        "steps": steps,
        "generating": {
            name: {
                "seconds": measured[name],
                "baseline": load.baseline,
                "ratios": (np.array(measured[name]) / measured[load.baseline]).tolist(),
                "promised": load.promised,
            }
            for name, load in loads.items()
        },
        "votes_in_situ": in_turn(
            {f"batch of {size}": hook_overhead(pipe, steps, size) for size in (1, 8)},
            rounds,
            "votes in situ",
        ),
        "votes": voting(pipe, rounds, steps=2 if quick else 10, prompts=prompts),
    }


def workloads(pipe: DiffusionPipeline, steps: int, batch: int) -> dict[str, Workload]:
    """Build the workloads, with random vectors: their values do not change the work."""
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    rng = np.random.default_rng(0)
    hrv = hl.relevance_from_array(
        rng.gamma(1.0, size=(2, heads)), concepts=["Color", "Animals"], pipe=pipe
    )
    # As in a sweep, every image of the batch has a different number of weakened heads.
    cuts = np.linspace(0, heads, batch)[:, None]
    weakened = np.where(rng.permutation(heads) < cuts, WEAKER, 1.0)

    def plain(size: int) -> Callable[[], object]:
        return generate(pipe, [SOURCE] * size, steps)

    def edited(edit: Any) -> Callable[[], object]:
        return generate(pipe, [SOURCE] * batch, steps, edit=edit)

    def pairs(number: int, **vectors: Any) -> Callable[[], object]:
        return lambda: hl.edit(
            pipe, [SOURCE] * number, [TARGET] * number, batch_size=PAIR * number,
            num_inference_steps=steps, progress=False, **vectors,
        )  # fmt: skip

    strengthened = hl.strengthen(hrv, "Color", word="red")
    adjusted = hl.adjust(hrv, toward="Color", away="Animals", word="red")
    vectors = {"hrv": hrv, "concept": "Color"}
    half = batch // 2
    one, two, many = "plain, alone", "plain, two together", f"plain, {batch} together"
    return {
        many: Workload(plain(batch), batch, many),
        one: Workload(plain(1), 1, many),
        two: Workload(plain(PAIR), PAIR, two),
        "strengthened": Workload(edited(strengthened), batch, many, "≤ 1.05"),
        "adjusted": Workload(edited(adjusted), batch, many, "≤ 1.05"),
        SWEEP: Workload(edited(hl.Rescale(weakened)), batch, many, "≤ 1.05"),
        "captured": Workload(capturing(pipe, [SOURCE] * batch, steps), batch, many),
        "P2P, one pair": Workload(pairs(1), PAIR, two, "≤ 1.25"),
        "P2P-HRV, one pair": Workload(pairs(1, **vectors), PAIR, two, "≤ 1.25"),
        f"P2P, {half} pairs": Workload(pairs(half), batch, many, "≤ 1.25"),
        f"P2P-HRV, {half} pairs": Workload(pairs(half, **vectors), batch, many, "≤ 1.25"),
        "weakened naively, alone": Workload(
            naively_weakened(weakened[half], steps), 1, SWEEP, "≥ 2"
        ),
    }


def generate(
    pipe: DiffusionPipeline, prompts: list[str], steps: int, **settings: Any
) -> Callable[[], object]:
    """Generate images of prompts in one batch."""
    return lambda: hl.generate(
        pipe, prompts, batch_size=len(prompts), num_inference_steps=steps, progress=False,
        **settings,
    )  # fmt: skip


def capturing(pipe: DiffusionPipeline, prompts: list[str], steps: int) -> Callable[[], xr.Dataset]:
    """Capture the means of all tokens."""
    return lambda: hl.capture(
        pipe, prompts, batch_size=len(prompts), num_inference_steps=steps, progress=False
    )


def naively_weakened(factors: np.ndarray, steps: int) -> Callable[[], object]:
    """Weaken heads by explicit maps, one image at a time."""
    pipe = hl.load("miniature")
    columns = content_columns(pipe, SOURCE)
    layers = cross_attention_layers(pipe.unet)
    make_explicit(pipe.unet, [weakener(factors[layer.head_positions], columns) for layer in layers])
    return generate(pipe, [SOURCE], steps)


def hook_overhead(pipe: DiffusionPipeline, steps: int, batch: int) -> Callable[[], float]:
    """Compute the time in the hooks of votes over the rest of the same calls."""
    concepts = hl.ConceptSet.read("miniature")
    words, counts = concepts.encode(pipe), [len(words) for words in concepts.words]
    settings = {"num_inference_steps": steps, "output_type": "latent"}

    def draw(call: int, layers: int, samples: int) -> np.ndarray:
        drawn = [draw_words(0, prompt, call, layers, counts) for prompt in range(samples)]
        return np.stack(drawn, axis=1)

    def overhead() -> float:
        tap = ConceptVotes(words, counts, draw)
        with attach(pipe, tap), in_situ(pipe.unet) as clock:
            pipe([SOURCE] * batch, **settings)
        clock.count(tap.result)
        return clock.overhead()

    pipe.set_progress_bar_config(disable=True)
    return overhead


def voting(pipe: DiffusionPipeline, rounds: int, *, steps: int, prompts: int) -> dict[str, Any]:
    """Collect votes of many prompts, in batches and naively, prompt by prompt."""
    concepts = hl.ConceptSet.read("miniature")
    texts = (hl.read_prompts("miniature") * prompts)[:prompts]
    naive = hl.load("miniature")
    measured = in_turn(
        {
            "hrvlab": lambda: seconds(
                lambda: collect_votes(
                    pipe, concepts, texts, num_inference_steps=steps, progress=False
                )
            ),
            "naive": lambda: seconds(lambda: naive_votes(naive, concepts, texts, steps)),
        },
        rounds,
        "votes",
    )
    return {"prompts": prompts, "steps": steps, **measured}


def naive_votes(
    pipe: DiffusionPipeline, concepts: hl.ConceptSet, prompts: list[str], steps: int
) -> np.ndarray:
    """Collect votes naively, shape (prompt, head_position, concept)."""
    words, counts = concepts.encode(pipe), [len(words) for words in concepts.words]
    pipe.set_progress_bar_config(disable=True)
    by_prompt = []
    for number, prompt in enumerate(prompts):
        votes = NaiveVotes(
            pipe,
            words,
            counts,
            lambda call, layers, number=number: draw_words(0, number, call, layers, counts),
        )
        with torch.no_grad():
            pipe(
                prompt,
                generator=image_generator(0, number),
                num_inference_steps=steps,
                output_type="latent",
            )
        by_prompt.append(votes.votes)
    return np.stack(by_prompt)
