"""The studies of disambiguation: settings are chosen on some words and tested on others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.disambiguation.cases import read_disambiguation
from hrvlab.experiments.disambiguation.conditions import (
    ADJUSTING,
    PLAIN,
    REVERSED,
    adjusting_conditions,
    candidate_settings,
)
from hrvlab.experiments.disambiguation.text_states import swapped_conditions
from hrvlab.experiments.disambiguation.trial import choose_setting, disambiguate
from hrvlab.experiments.study import SEEDS_SHOWN, CommonSetting, Study
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.forecast import forecast_calls
from hrvlab.models.families import denoiser_of
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.storage.run import Run

DISAMBIGUATION, TUNING = "disambiguation", "disambiguation-tuning"
CHOSEN = "chosen: "


@dataclass(frozen=True)
class DisambiguationSetting(CommonSetting):
    """Parameters of the study.

    Parameters
    ----------
    cases : str or Path
        Ambiguous words, see `read_disambiguation`.
    seeds, tuning_seeds : tuple of int
        Images of each prompt in the result, and those that the setting is chosen by.
    """

    cases: str | Path = MINIATURE
    seeds: tuple[int, ...] = tuple(range(8))
    tuning_seeds: tuple[int, ...] = tuple(range(100, 108))


def run_tuning(
    pipe: DiffusionPipeline, store: Path, setting: DisambiguationSetting = DisambiguationSetting()
) -> dict[str, Run]:
    """Try settings of adjusting, and swapped text states, on words of their own."""
    hrv, cases = vectors(pipe, store, setting), read_disambiguation(setting.cases, "dev").cases
    calls = forecast_calls(pipe, {"num_inference_steps": setting.steps})
    settings = candidate_settings(denoiser_of(pipe), calls)
    run = disambiguate(
        pipe,
        hrv,
        cases,
        others={**adjusting_conditions(hrv, cases, settings), **swapped_conditions(cases)},
        score=setting.evaluators(),
        seeds=setting.tuning_seeds,
        store=store / TUNING,
        **setting.call,
    )
    return {TUNING: run}


def run_disambiguation(
    pipe: DiffusionPipeline, store: Path, setting: DisambiguationSetting = DisambiguationSetting()
) -> dict[str, Run]:
    """Generate the test words, with the published and with the chosen setting."""
    hrv, cases = vectors(pipe, store, setting), read_disambiguation(setting.cases, "test").cases
    calls = forecast_calls(pipe, {"num_inference_steps": setting.steps})
    settings = candidate_settings(denoiser_of(pipe), calls)
    candidates = [ADJUSTING, *(name for name in settings if name != REVERSED)]
    chosen = choose_setting(run_tuning(pipe, store, setting)[TUNING].data, candidates)
    adjusted = adjusting_conditions(hrv, cases, {f"{CHOSEN}{chosen}": settings.get(chosen, {})})
    run = disambiguate(
        pipe,
        hrv,
        cases,
        others={**adjusted, **swapped_conditions(cases)},
        score=setting.evaluators(),
        seeds=setting.seeds,
        store=store / DISAMBIGUATION,
        **setting.call,
    )
    return {DISAMBIGUATION: run}


def extreme_words(data: xr.Dataset) -> NDArray[np.str_]:
    """Name images of the prompts where adjusting gains most and least by the first evaluator."""
    margin = data["margin"].isel(evaluator=0)
    most, least = extremes(margin.sel(condition=ADJUSTING) - margin.sel(condition=PLAIN))
    return data["image"].isel(prompt=[most, least], seed=slice(SEEDS_SHOWN)).values


TUNING_STUDY = Study(TUNING, run_tuning, needs=(VOTES,))
STUDY = Study(DISAMBIGUATION, run_disambiguation, shown=extreme_words, needs=(VOTES, TUNING))
