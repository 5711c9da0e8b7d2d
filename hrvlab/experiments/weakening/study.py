"""The study of ordered weakening: all concepts at full scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.study import CommonSetting, Study
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.experiments.weakening.cases import choose_cases, read_weakening
from hrvlab.experiments.weakening.trial import weaken
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.inputs.cases import Split
    from hrvlab.storage.run import Run

WEAKENING = "weakening"
SHOWN = ("MoRHF", "LeRHF", "random 0")


@dataclass(frozen=True)
class WeakeningSetting(CommonSetting):
    """Parameters of the study.

    Parameters
    ----------
    cases : str or Path
        Prompts of each concept, see `read_weakening`.
    split : {"dev", "test"}
    prompts_each, seeds_each : int
        Numbers of prompts of each concept, and of images of each prompt.
    cuts : tuple of int
        Numbers of weakened heads, besides none and all.
    draws : int
        Number of random orders.
    """

    cases: str | Path = MINIATURE
    split: Split = "test"
    prompts_each: int = 8
    seeds_each: int = 2
    cuts: tuple[int, ...] = (8, 24, 48, 88)
    draws: int = 5


def run_weakening(
    pipe: DiffusionPipeline, store: Path, setting: WeakeningSetting = WeakeningSetting()
) -> dict[str, Run]:
    """Weaken heads in the order of their relevance, for every concept that has cases."""
    hrv, score, cases = vectors(pipe, store, setting), setting.evaluators(), setting.cases
    return {
        concept: weaken(
            pipe,
            hrv,
            concept,
            **choose_cases(
                cases, concept, setting.prompts_each, setting.seeds_each, split=setting.split
            ),
            score=score,
            cuts=setting.cuts,
            draws=setting.draws,
            store=store / WEAKENING,
            **setting.call,
        )
        for concept in read_weakening(cases).concepts
    }


def first_prompt(data: xr.Dataset) -> NDArray[np.str_]:
    """Select the images of a concept's first prompt and seed, in three orders."""
    return data["image"].sel(order=list(SHOWN)).isel(prompt=0, seed=0).values


STUDY = Study(WEAKENING, run_weakening, "concept", first_prompt, needs=(VOTES,))
