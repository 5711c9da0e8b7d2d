"""The studies of editing: every condition is compared, and settings are tried on other words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.editing.cases import read_editing
from hrvlab.experiments.editing.conditions import make_candidates
from hrvlab.experiments.editing.trial import compare_edits, rate_edits
from hrvlab.experiments.study import SEEDS_SHOWN, CommonSetting, Study
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

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
    hrv, cases = vectors(pipe, store, setting), read_editing(setting.cases, "dev").cases
    run = rate_edits(
        pipe,
        hrv,
        cases,
        [make_candidates(hrv, case, index) for index, case in enumerate(cases)],
        score=setting.evaluators(),
        seeds=setting.tuning_seeds,
        store=store / TUNING,
        **setting.call,
    )
    return {TUNING: run}


def run_editing(
    pipe: DiffusionPipeline, store: Path, setting: EditingSetting = EditingSetting()
) -> dict[str, Run]:
    """Edit words of five attributes under every condition, with every strength."""
    run = compare_edits(
        pipe,
        vectors(pipe, store, setting),
        read_editing(setting.cases, "test").cases,
        score=setting.evaluators(),
        strengths=setting.strengths,
        seeds=setting.seeds,
        store=store / EDITING,
        **setting.call,
    )
    return {EDITING: run}


def extreme_edits(data: xr.Dataset) -> NDArray[np.str_]:
    """Name images of the cases where the vector gains most and least by the first evaluator."""
    target_score = data["target_score"].isel(evaluator=0)
    gained = target_score.sel(condition="P2P-HRV × 1") - target_score.sel(condition="P2P")
    shown = data[["source_image", "image"]].isel(
        prompt=list(extremes(gained)), seed=slice(SEEDS_SHOWN)
    )
    return np.concatenate([shown["source_image"].values.ravel(), shown["image"].values.ravel()])


TUNING_STUDY = Study(TUNING, run_tuning, needs=(VOTES,))
STUDY = Study(EDITING, run_editing, shown=extreme_edits, needs=(VOTES,))
