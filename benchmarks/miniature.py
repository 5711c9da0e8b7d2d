"""What drawing with hrvlab costs on the miniature, against plain drawing and the naive way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from diffusers import DiffusionPipeline

import hrvlab as hl
from benchmarks.clocks import in_situ, in_turn, seconds
from benchmarks.naive import NaiveVotes, weakener, write_out
from hrvlab.attention import ConceptVotes, attach
from hrvlab.generation import image_generator
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import content_columns
from hrvlab.relevance.votes import collect_votes, draw_words

SOURCE, TARGET = "a red car", "a blue car"
WEAKER, STEPS, PAIR = -2.0, 25, 2


class Way(NamedTuple):
    """A way of drawing.

    Parameters
    ----------
    draw : callable
    pictures : int
        How many it draws.
    against : str
        The way that it is compared with, picture by picture.
    promised : str
        Of the ratio.
    """

    draw: Callable[[], object]
    pictures: int
    against: str
    promised: str = ""


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Time every way of drawing, votes, and their hooks in situ."""
    steps, batch, prompts = (2, 4, 4) if quick else (STEPS, 16, 256)
    pipe = hl.load("miniature")
    ways = drawing(pipe, steps, batch)
    drawn = in_turn(
        {name: lambda way=way: seconds(way.draw) / way.pictures for name, way in ways.items()},
        rounds,
        "drawing",
    )
    return {
        "steps": steps,
        "drawing": {
            name: {
                "seconds": drawn[name],
                "against": way.against,
                "ratios": (np.array(drawn[name]) / drawn[way.against]).tolist(),
                "promised": way.promised,
            }
            for name, way in ways.items()
        },
        "votes_in_situ": in_turn(
            {f"batch of {size}": hook_share(pipe, steps, size) for size in (1, 8)},
            rounds,
            "votes in situ",
        ),
        "votes": voting(pipe, rounds, steps=2 if quick else 10, prompts=prompts),
    }


def drawing(pipe: DiffusionPipeline, steps: int, batch: int) -> dict[str, Way]:
    """List the ways of drawing; what is computed does not depend on the vectors' values."""
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    rng = np.random.default_rng(0)
    hrv = hl.relevance_from_array(
        rng.gamma(1.0, size=(2, heads)), concepts=["Color", "Animals"], pipe=pipe
    )
    # As in a sweep, every picture of the batch has another number of weakened heads.
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
    one, two, many = "plain, alone", "plain, two together", f"plain, {batch} together"
    return {
        many: Way(plain(batch), batch, many),
        one: Way(plain(1), 1, many),
        two: Way(plain(PAIR), PAIR, two),
        "strengthened": Way(edited(strengthened), batch, many, "≤ 1.05"),
        "adjusted": Way(edited(adjusted), batch, many, "≤ 1.05"),
        "weakened, as in a sweep": Way(edited(hl.Rescale(weakened)), batch, many, "≤ 1.05"),
        "captured": Way(capturing(pipe, [SOURCE] * batch, steps), batch, many),
        "P2P, one pair": Way(pairs(1), PAIR, two, "≤ 1.25"),
        "P2P-HRV, one pair": Way(pairs(1, **vectors), PAIR, two, "≤ 1.25"),
        f"P2P, {batch // 2} pairs": Way(pairs(batch // 2), batch, many, "≤ 1.25"),
        f"P2P-HRV, {batch // 2} pairs": Way(pairs(batch // 2, **vectors), batch, many, "≤ 1.25"),
        "weakened in the naive way, alone": Way(
            naively_weakened(weakened[batch // 2], steps), 1, "weakened, as in a sweep", "≥ 2"
        ),
    }


def generate(
    pipe: DiffusionPipeline, prompts: list[str], steps: int, **settings: Any
) -> Callable[[], object]:
    """Draw prompts in one batch."""
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
    """Weaken heads by explicit maps, one picture at a time."""
    pipe = hl.load("miniature")
    columns = content_columns(pipe.tokenizer, SOURCE)
    layers = cross_attention_layers(pipe.unet)
    write_out(pipe.unet, [weakener(factors[layer.head_positions], columns) for layer in layers])
    return generate(pipe, [SOURCE], steps)


def hook_share(pipe: DiffusionPipeline, steps: int, batch: int) -> Callable[[], float]:
    """Time the hooks of votes over the rest of the same calls."""
    concepts = hl.ConceptSet.read("miniature")
    words, counts = concepts.encode(pipe), [len(words) for words in concepts.words]
    settings = {"num_inference_steps": steps, "output_type": "latent"}

    def draw(call: int, layers: int, samples: int) -> np.ndarray:
        drawn = [draw_words(0, prompt, call, layers, counts) for prompt in range(samples)]
        return np.stack(drawn, axis=1)

    def share() -> float:
        tap = ConceptVotes(words, counts, draw)
        with attach(pipe, tap), in_situ(pipe.unet) as clock:
            pipe([SOURCE] * batch, **settings)
        return clock.share

    pipe.set_progress_bar_config(disable=True)
    return share


def voting(pipe: DiffusionPipeline, rounds: int, *, steps: int, prompts: int) -> dict[str, Any]:
    """Collect votes of many prompts, and do the same in the naive way, prompt by prompt."""
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
    """Collect votes in the naive way, shape (prompt, head_position, concept)."""
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
