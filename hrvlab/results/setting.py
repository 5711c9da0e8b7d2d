"""How much of everything the studies draw, and who looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrvlab.experiments.scoring import Score, clip_score, judge_score
from hrvlab.models.load import MINIATURE


def judge_and_clip() -> Mapping[str, Score]:
    """Load the miniature's two witnesses."""
    return {"judge": judge_score(), "CLIP": clip_score()}


@dataclass(frozen=True)
class Setting:
    """What the studies have in common.

    Parameters
    ----------
    concepts, prompts : str or Path
        For the vectors.
    words, replacements : str or Path
        Benchmarks of words with two senses, and of words to replace.
    witnesses : callable () -> mapping of str to Score
    steps, batch_size : int
    tuned_seeds, shown_seeds : sequence of int
        Of pictures that settings are chosen by, and of those of the result.
    strengths : tuple of float
        Of the vector in edits, more than 0 and 1.
    progress : bool
    """

    concepts: str | Path = MINIATURE
    prompts: str | Path = MINIATURE
    words: str | Path = MINIATURE
    replacements: str | Path = MINIATURE
    witnesses: Callable[[], Mapping[str, Score]] = judge_and_clip
    steps: int = 20
    batch_size: int = 16
    tuned_seeds: tuple[int, ...] = tuple(range(100, 108))
    shown_seeds: tuple[int, ...] = tuple(range(8))
    strengths: tuple[float, ...] = (0.5, 2.0)
    progress: bool = True

    @property
    def call(self) -> dict[str, Any]:
        """Keywords of all that draws."""
        return {
            "num_inference_steps": self.steps,
            "batch_size": self.batch_size,
            "progress": self.progress,
        }


SHIPPED = Setting()
SEEDS_SHOWN = 4  # of each prompt whose pictures ship
