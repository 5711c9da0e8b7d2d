"""The study of ordered weakening: all concepts at full scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.runner import run_trials
from hrvlab.experiments.study import CommonSetting, Study, split_cases
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.experiments.weakening.cases import choose_cases, read_weakening
from hrvlab.experiments.weakening.trial import plan_weakening
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.runner import Trial
    from hrvlab.inputs.cases import Split
    from hrvlab.storage.run import Run

WEAKENING = "weakening"
SHOWN = ("MoRHF", "LeRHF", "random 0")


@dataclass(frozen=True)
class WordsSetting(CommonSetting):
    """Parameters of studies whose prompts are those of ordered weakening.

    Parameters
    ----------
    cases : str or Path
        Prompts of each concept, see `read_weakening`.
    split : {"dev", "test"}
    prompts_each, seeds_each : int
        Numbers of prompts of each concept, and of images of each prompt.
    """

    cases: str | Path = MINIATURE
    split: Split = "test"
    prompts_each: int = 8
    seeds_each: int = 2


@dataclass(frozen=True)
class WeakeningSetting(WordsSetting):
    """Parameters of the study, besides those of its prompts.

    Parameters
    ----------
    cuts : tuple of int
        Numbers of weakened heads, besides none and all.
    draws : int
        Number of random orders.
    """

    cuts: tuple[int, ...] = (8, 24, 48, 88)
    draws: int = 5


def split_concepts(setting: WordsSetting) -> tuple[list[str], list[str]]:
    """Split the concepts that have cases into those with and those without vectors."""
    return split_cases(read_weakening(setting.cases).concepts, lambda name: [name], setting)


def chosen_cases(setting: WordsSetting, concept: str) -> dict[str, Any]:
    """Choose the prompts, texts and seeds of a concept, see `choose_cases`."""
    numbers = setting.prompts_each, setting.seeds_each
    return choose_cases(setting.cases, concept, *numbers, split=setting.split)


def lacking_concepts(setting: WordsSetting) -> list[str]:
    """Name the concepts that have cases but no vectors; all others have enough prompts."""
    kept, lacking = split_concepts(setting)
    for concept in kept:
        chosen_cases(setting, concept)
    return lacking


def run_weakening(
    pipe: DiffusionPipeline, store: Path, setting: WeakeningSetting = WeakeningSetting()
) -> dict[str, Run]:
    """Weaken heads in the order of their relevance, for every concept that has cases."""
    trials = plan_all(pipe, vectors(pipe, store, setting), setting)
    return run_trials(pipe, trials, store=store / WEAKENING, **setting.how)


def plan_all(
    pipe: DiffusionPipeline, hrv: xr.DataArray, setting: WeakeningSetting
) -> Iterator[tuple[str, Trial]]:
    """Plan a trial for every concept that has a vector and cases."""
    score = setting.evaluators()
    for concept in split_concepts(setting)[0]:
        yield (
            concept,
            plan_weakening(
                pipe,
                hrv,
                concept,
                **chosen_cases(setting, concept),
                score=score,
                cuts=setting.cuts,
                draws=setting.draws,
                **setting.call,
            ),
        )


def first_prompt(data: xr.Dataset) -> NDArray[np.str_]:
    """Select the images of a concept's first prompt and seed, in three orders."""
    return data["image"].sel(order=list(SHOWN)).isel(prompt=0, seed=0).values


STUDY = Study(
    WEAKENING,
    run_weakening,
    "concept",
    first_prompt,
    needs=(VOTES,),
    setting=WeakeningSetting(),
    plan=plan_all,
    lacks=lacking_concepts,
)
