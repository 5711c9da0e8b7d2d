"""How much of everything the studies draw, and who looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrvlab.experiments.benchmarks import read_weakening, weakening_prompts
from hrvlab.experiments.forms import Split, WeakeningBenchmark
from hrvlab.experiments.pair_score import pair_score
from hrvlab.experiments.scoring import Score, clip_score, judge_score
from hrvlab.models.load import MINIATURE


def judge_and_clip() -> Mapping[str, Score]:
    """Load the miniature's two witnesses."""
    return {"judge": judge_score(), "CLIP": clip_score()}


def pair_judge_and_clip() -> Mapping[str, Score]:
    """Load the miniature's two witnesses of two things."""
    return {"judge": pair_score(), "CLIP": clip_score()}


@dataclass(frozen=True)
class Setting:
    """What the studies have in common.

    Parameters
    ----------
    concepts, prompts : str or Path
        For the vectors.
    benchmark, words, replacements, pairs : str or Path
        Benchmarks of weakening, of words with two senses, of words to replace, and of two things.
    witnesses, pair_witnesses : callable () -> mapping of str to Score
        The latter look at pictures of two things.
    steps, batch_size : int
    ballot_prompts : int
        Of the prompts, those from which vectors are built by other ballots.
    split : {"dev", "test"}
        Which of the words and seeds of weakening.
    prompts_each, seeds_each : int
        Prompts of every concept whose heads are weakened, and pictures of each.
    cuts : tuple of int
        Numbers of weakened heads, besides none and all.
    draws : int
        Random orders.
    effect_steps : int
        Denoising steps where every head is weakened alone.
    ablated : tuple of str
        Concepts of the ablations.
    ablation_seeds, ablation_draws : int
        Pictures of each prompt, and random orders, in the ablations.
    ablation_cuts : tuple of int
    tuned_seeds, shown_seeds : sequence of int
        Of steered pictures that settings are chosen by, and of those of the result.
    strengths : tuple of float
        Of the vector in edits, more than 0 and 1.
    edited_seeds : sequence of int
        Of pictures that other settings of edits are tried with.
    sections : tuple of str
        Of the pairs of things; each has a second one for choosing, named "..., dev".
    pairs_each : int
        Of a section.
    sides, step_sizes : tuple of float
        Of Attend-and-Excite, to choose among.
    excited_seeds : sequence of int
        Of pictures that these are chosen by.
    progress : bool
    """

    concepts: str | Path = MINIATURE
    prompts: str | Path = MINIATURE
    benchmark: str | Path = MINIATURE
    words: str | Path = MINIATURE
    replacements: str | Path = MINIATURE
    pairs: str | Path = MINIATURE
    witnesses: Callable[[], Mapping[str, Score]] = judge_and_clip
    pair_witnesses: Callable[[], Mapping[str, Score]] = pair_judge_and_clip
    steps: int = 20
    batch_size: int = 16
    ballot_prompts: int = 128
    split: Split = "test"
    prompts_each: int = 8
    seeds_each: int = 2
    cuts: tuple[int, ...] = (8, 24, 48, 88)
    draws: int = 5
    effect_steps: int = 6
    ablated: tuple[str, ...] = ("Weather Conditions", "Image Style", "Color", "Material")
    ablation_seeds: int = 1
    ablation_draws: int = 2
    ablation_cuts: tuple[int, ...] = (16, 64)
    tuned_seeds: tuple[int, ...] = tuple(range(100, 108))
    shown_seeds: tuple[int, ...] = tuple(range(8))
    strengths: tuple[float, ...] = (0.5, 2.0)
    edited_seeds: tuple[int, ...] = (100, 101, 102, 103)
    sections: tuple[str, ...] = ("things", "colored things")
    pairs_each: int = 12
    sides: tuple[float, ...] = (0.5, 1.0)
    step_sizes: tuple[float, ...] = (2.5, 5.0, 10.0, 20.0)
    excited_seeds: tuple[int, ...] = (100, 101)
    progress: bool = True

    @property
    def call(self) -> dict[str, Any]:
        """Keywords of all that draws."""
        return {
            "num_inference_steps": self.steps,
            "batch_size": self.batch_size,
            "progress": self.progress,
        }

    def read_benchmark(self) -> WeakeningBenchmark:
        """Read the prompts of ordered weakening."""
        return read_weakening(self.benchmark)

    def cases(self, concept: str, seeds: int) -> dict[str, Any]:
        """Give what of a concept is drawn, as keywords."""
        benchmark = self.read_benchmark()
        prompts, texts = weakening_prompts(benchmark, concept, self.prompts_each, split=self.split)
        first = benchmark.seeds[self.split]
        return {"prompts": prompts, "texts": texts, "seeds": range(first, first + seeds)}


SHIPPED = Setting()
SEEDS_SHOWN = 4  # of each prompt whose pictures ship
