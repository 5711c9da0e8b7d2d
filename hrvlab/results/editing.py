"""The study of replaced words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.experiments.arms import extremes
from hrvlab.experiments.benchmarks import read_editing
from hrvlab.experiments.editing_trial import compare_edits, rate_edits
from hrvlab.experiments.editing_ways import make_trials
from hrvlab.results.setting import SEEDS_SHOWN, SHIPPED, Setting
from hrvlab.results.votes import vectors

EDITING, TUNING = "editing", "editing-tuning"


def run_tuning(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Replace words of their own with settings that were not published."""
    hrv, cases = vectors(pipe, store, setting), read_editing(setting.replacements, "dev").cases
    tried = rate_edits(
        pipe,
        hrv,
        cases,
        [make_trials(hrv, case, index) for index, case in enumerate(cases)],
        score=setting.witnesses(),
        seeds=setting.edited_seeds,
        store=store / TUNING,
        **setting.call,
    )
    return {TUNING: tried}


def run_editing(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Replace words of five attributes in every way and strength."""
    found = compare_edits(
        pipe,
        vectors(pipe, store, setting),
        read_editing(setting.replacements, "test").cases,
        score=setting.witnesses(),
        strengths=setting.strengths,
        seeds=setting.shown_seeds,
        store=store / EDITING,
        **setting.call,
    )
    return {EDITING: found}


def extreme_edits(part: xr.Dataset) -> NDArray[np.str_]:
    """Name pictures of the cases in which the vector did most and least for the first witness."""
    reached = part["reached"].isel(witness=0)
    cases = list(extremes(reached.sel(arm="P2P-HRV × 1") - reached.sel(arm="P2P")))
    shown = part[["source_image", "image"]].isel(prompt=cases, seed=slice(SEEDS_SHOWN))
    return np.concatenate([shown["source_image"].values.ravel(), shown["image"].values.ravel()])
