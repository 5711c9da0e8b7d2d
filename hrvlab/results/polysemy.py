"""The studies of words with two senses: settings are tried on some words and shown on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.experiments.adjusting import (
    REVERSED,
    adjusting_arms,
    candidate_settings,
    choose_setting,
)
from hrvlab.experiments.arms import extremes
from hrvlab.experiments.benchmarks import read_polysemy
from hrvlab.experiments.polysemy import ADJUSTING, PLAIN, disambiguate
from hrvlab.experiments.word_states import swapped_arms
from hrvlab.generation import count_calls
from hrvlab.results.setting import SEEDS_SHOWN, SHIPPED, Setting
from hrvlab.results.votes import vectors

POLYSEMY, TUNING = "polysemy", "polysemy-tuning"
CHOSEN = "chosen: "


def run_tuning(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Try settings of adjusting, and text states of a plainer prompt, on words of their own."""
    hrv, cases = vectors(pipe, store, setting), read_polysemy(setting.words, "dev").cases
    settings = candidate_settings(pipe.unet, count_calls(pipe, setting.steps))
    tried = disambiguate(
        pipe,
        hrv,
        cases,
        others={**adjusting_arms(hrv, cases, settings), **swapped_arms(cases)},
        score=setting.witnesses(),
        seeds=setting.tuned_seeds,
        store=store / TUNING,
        **setting.call,
    )
    return {TUNING: tried}


def run_polysemy(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Draw words that nothing was tuned on, under the published and the chosen setting."""
    hrv, cases = vectors(pipe, store, setting), read_polysemy(setting.words, "test").cases
    settings = candidate_settings(pipe.unet, count_calls(pipe, setting.steps))
    candidates = [ADJUSTING, *(name for name in settings if name != REVERSED)]
    chosen = choose_setting(run_tuning(pipe, store, setting)[TUNING], candidates)
    adjusted = adjusting_arms(hrv, cases, {f"{CHOSEN}{chosen}": settings.get(chosen, {})})
    found = disambiguate(
        pipe,
        hrv,
        cases,
        others={**adjusted, **swapped_arms(cases)},
        score=setting.witnesses(),
        seeds=setting.shown_seeds,
        store=store / POLYSEMY,
        **setting.call,
    )
    return {POLYSEMY: found}


def extreme_words(part: xr.Dataset) -> NDArray[np.str_]:
    """Name pictures of the prompts on which adjusting did most and least for the first witness."""
    margin = part["margin"].isel(witness=0)
    most, least = extremes(margin.sel(arm=ADJUSTING) - margin.sel(arm=PLAIN))
    return part["image"].isel(prompt=[most, least], seed=slice(SEEDS_SHOWN)).values
