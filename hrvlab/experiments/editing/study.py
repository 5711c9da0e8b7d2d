"""The studies of editing: every condition is compared, and settings are tried on other words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.editing.cases import read_editing
from hrvlab.experiments.editing.conditions import make_candidates
from hrvlab.experiments.editing.trial import plan_comparison, plan_edits
from hrvlab.experiments.runner import run_trials
from hrvlab.experiments.study import SEEDS_SHOWN, CommonSetting, Study, split_cases
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.editing.cases import EditingCase
    from hrvlab.experiments.runner import Trial
    from hrvlab.inputs.cases import Split
    from hrvlab.storage.run import Run

EDITING, TUNING = "editing", "editing-tuning"


@dataclass(frozen=True)
class EditingSetting(CommonSetting):
    """Parameters of the study.

    Parameters
    ----------
    cases : str or Path
        Pairs of prompts, see `read_editing`.
    strengths : tuple of float
        Of the vector, besides 0 and 1.
    seeds, tuning_seeds : tuple of int
        Images of each prompt in the result, and those that other settings are tried with.
    """

    cases: str | Path = MINIATURE
    strengths: tuple[float, ...] = (0.5, 2.0)
    seeds: tuple[int, ...] = tuple(range(8))
    tuning_seeds: tuple[int, ...] = (100, 101, 102, 103)


def run_tuning(
    pipe: DiffusionPipeline, store: Path, setting: EditingSetting = EditingSetting()
) -> dict[str, Run]:
    """Try settings that were not published, on words of their own."""
    trials = plan_tuning(pipe, vectors(pipe, store, setting), setting)
    return run_trials(pipe, trials, store=store / TUNING, **setting.how)


def plan_tuning(
    pipe: DiffusionPipeline, hrv: xr.DataArray, setting: EditingSetting
) -> Iterator[tuple[str, Trial]]:
    """Plan the trial of settings that were not published."""
    cases, _ = _cases(setting, "dev")
    trial = plan_edits(
        pipe,
        hrv,
        cases,
        [make_candidates(hrv, case, index) for index, case in enumerate(cases)],
        score=setting.evaluators(),
        seeds=setting.tuning_seeds,
        **setting.call,
    )
    yield TUNING, trial


def run_editing(
    pipe: DiffusionPipeline, store: Path, setting: EditingSetting = EditingSetting()
) -> dict[str, Run]:
    """Edit words of five attributes under every condition, with every strength."""
    trials = plan_test(pipe, vectors(pipe, store, setting), setting)
    return run_trials(pipe, trials, store=store / EDITING, **setting.how)


def plan_test(
    pipe: DiffusionPipeline, hrv: xr.DataArray, setting: EditingSetting
) -> Iterator[tuple[str, Trial]]:
    """Plan the trial of all conditions."""
    cases, _ = _cases(setting, "test")
    trial = plan_comparison(
        pipe,
        hrv,
        cases,
        strengths=setting.strengths,
        score=setting.evaluators(),
        seeds=setting.seeds,
        **setting.call,
    )
    yield EDITING, trial


def _cases(setting: EditingSetting, split: Split) -> tuple[list[EditingCase], list[str]]:
    """Return the cases of a split that have vectors, and the concepts that others lack."""
    cases = read_editing(setting.cases, split).cases
    return split_cases(cases, lambda case: [case.concept], setting)


def extreme_edits(data: xr.Dataset) -> NDArray[np.str_]:
    """Name images of the cases where the vector gains most and least by the first evaluator."""
    target_score = data["target_score"].isel(evaluator=0)
    gained = target_score.sel(condition="P2P-HRV × 1") - target_score.sel(condition="P2P")
    shown = data[["source_image", "image"]].isel(
        prompt=list(extremes(gained)), seed=slice(SEEDS_SHOWN)
    )
    return np.concatenate([shown["source_image"].values.ravel(), shown["image"].values.ravel()])


TUNING_STUDY = Study(
    TUNING,
    run_tuning,
    needs=(VOTES,),
    setting=EditingSetting(),
    plan=plan_tuning,
    lacks=lambda setting: _cases(setting, "dev")[1],
)
STUDY = Study(
    EDITING,
    run_editing,
    shown=extreme_edits,
    needs=(VOTES,),
    setting=EditingSetting(),
    plan=plan_test,
    lacks=lambda setting: _cases(setting, "test")[1],
)
