"""The studies of disambiguation: settings are chosen on some words and tested on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from hrvlab.experiments.disambiguation.text_states import swapped_conditions, why_not_swapped
from hrvlab.experiments.disambiguation.trial import choose_setting, plan_disambiguation
from hrvlab.experiments.runner import run_trials
from hrvlab.experiments.study import SEEDS_SHOWN, CommonSetting, Study, split_cases
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.forecast import forecast_calls
from hrvlab.models.families import denoiser_of
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.disambiguation.cases import AmbiguousWord
    from hrvlab.experiments.disambiguation.text_states import Swapped
    from hrvlab.experiments.runner import Trial
    from hrvlab.inputs.cases import Split
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
    trials = plan_tuning(pipe, vectors(pipe, store, setting), setting)
    return run_trials(pipe, trials, store=store / TUNING, **setting.how)


def plan_tuning(
    pipe: DiffusionPipeline, hrv: xr.DataArray, setting: DisambiguationSetting
) -> Iterator[tuple[str, Trial]]:
    """Plan the trial of all settings."""
    cases, settings = _cases(setting, "dev")[0], _settings(pipe, setting)
    trial = plan_disambiguation(
        pipe,
        hrv,
        cases,
        others={**adjusting_conditions(hrv, cases, settings), **_swapped(pipe, cases)},
        score=setting.evaluators(),
        seeds=setting.tuning_seeds,
        **setting.call,
    )
    yield TUNING, trial


def run_disambiguation(
    pipe: DiffusionPipeline, store: Path, setting: DisambiguationSetting = DisambiguationSetting()
) -> dict[str, Run]:
    """Generate the test words, with the published and with the chosen setting."""
    hrv, chosen = vectors(pipe, store, setting), None
    if _has_dev(setting):
        settings = _settings(pipe, setting)
        candidates = [ADJUSTING, *(name for name in settings if name != REVERSED)]
        chosen = choose_setting(run_tuning(pipe, store, setting)[TUNING].data, candidates)
    trials = plan_test(pipe, hrv, setting, chosen)
    return run_trials(pipe, trials, store=store / DISAMBIGUATION, **setting.how)


def plan_test(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    setting: DisambiguationSetting,
    chosen: str | None = ADJUSTING,
) -> Iterator[tuple[str, Trial]]:
    """Plan the trial of the test words, with the published and with a chosen setting, if any."""
    cases = _cases(setting, "test")[0]
    settings = {}
    if chosen is not None:
        settings = {f"{CHOSEN}{chosen}": _settings(pipe, setting).get(chosen, {})}
    trial = plan_disambiguation(
        pipe,
        hrv,
        cases,
        others={**adjusting_conditions(hrv, cases, settings), **_swapped(pipe, cases)},
        score=setting.evaluators(),
        seeds=setting.seeds,
        **setting.call,
    )
    yield DISAMBIGUATION, trial


def _settings(pipe: DiffusionPipeline, setting: DisambiguationSetting) -> dict[str, dict[str, Any]]:
    """List the settings of adjusting to choose among."""
    calls = forecast_calls(pipe, {"num_inference_steps": setting.steps})
    return candidate_settings(denoiser_of(pipe), calls)


def _swapped(pipe: DiffusionPipeline, cases: Sequence[AmbiguousWord]) -> dict[str, list[Swapped]]:
    """Build the conditions that swap text states, where the model and all cases allow it."""
    return {} if why_not_swapped(pipe, cases) else swapped_conditions(cases)


def _cases(setting: DisambiguationSetting, split: Split) -> tuple[list[AmbiguousWord], list[str]]:
    """Return the cases of a split that have vectors, and the concepts that others lack."""
    cases = read_disambiguation(setting.cases, split).cases
    return split_cases(cases, lambda case: [case.toward, case.away], setting)


def _has_dev(setting: DisambiguationSetting) -> bool:
    """Whether there are cases on which a setting can be chosen."""
    cases = read_disambiguation(setting.cases).cases
    return any(
        case.split == "dev" and {case.toward, case.away} <= {*setting.names} for case in cases
    )


def extreme_words(data: xr.Dataset) -> NDArray[np.str_]:
    """Name images of the prompts where adjusting gains most and least by the first evaluator."""
    margin = data["margin"].isel(evaluator=0)
    most, least = extremes(margin.sel(condition=ADJUSTING) - margin.sel(condition=PLAIN))
    return data["image"].isel(prompt=[most, least], seed=slice(SEEDS_SHOWN)).values


TUNING_STUDY = Study(
    TUNING,
    run_tuning,
    needs=(VOTES,),
    setting=DisambiguationSetting(),
    plan=plan_tuning,
    lacks=lambda setting: _cases(setting, "dev")[1],
)
STUDY = Study(
    DISAMBIGUATION,
    run_disambiguation,
    shown=extreme_words,
    needs=(VOTES, TUNING),
    setting=DisambiguationSetting(),
    plan=plan_test,
    lacks=lambda setting: _cases(setting, "test")[1],
)
