"""The studies of neglect: settings are chosen on some pairs of objects and tested on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.neglect.cases import read_pairs
from hrvlab.experiments.neglect.conditions import make_candidates
from hrvlab.experiments.neglect.outcomes import best_condition
from hrvlab.experiments.neglect.trial import plan_excitations, plan_pairs, try_conditions
from hrvlab.experiments.runner import run_trials
from hrvlab.experiments.study import SEEDS_SHOWN, CommonSetting, Study, split_cases
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.methods.excitation import Excitation
from hrvlab.paths import MINIATURE
from hrvlab.scorers.clip import clip_score
from hrvlab.scorers.pair_judge import pair_score

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.neglect.cases import ObjectPair
    from hrvlab.experiments.runner import Trial
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run

NEGLECT, TUNING = "neglect", "neglect-tuning"
WITH, WITHOUT = "with vectors", "without vectors"
# What is used where there are no pairs by which to choose.
PUBLISHED = {
    WITH: Excitation(),
    WITHOUT: Excitation(side=1 / 4, layers="side", leave_out_last=True),
}


def pair_judge_and_clip() -> Mapping[str, Score]:
    """Load the miniature's two evaluators of images of two objects."""
    return {"judge": pair_score(), "CLIP": clip_score()}


@dataclass(frozen=True)
class NeglectSetting(CommonSetting):
    """Parameters of the study.

    Parameters
    ----------
    evaluators : callable () -> mapping of str to Score
        Of images of two objects.
    cases : str or Path
        Pairs of objects, see `read_pairs`.
    sections : tuple of str
        Of the pairs; the first has a second one for choosing settings, named ``"..., dev"``.
    pairs_each : int
        Pairs of each section.
    sides, step_sizes : tuple of float
        Of Attend-and-Excite, to choose among.
    seeds, tuning_seeds : tuple of int
        Images of each prompt in the result, and those that settings are chosen by.
    """

    evaluators: Callable[[], Mapping[str, Score]] = pair_judge_and_clip
    cases: str | Path = MINIATURE
    sections: tuple[str, ...] = ("objects", "colored objects")
    pairs_each: int = 12
    sides: tuple[float, ...] = (0.5, 1.0)
    step_sizes: tuple[float, ...] = (2.5, 5.0, 10.0, 20.0)
    seeds: tuple[int, ...] = tuple(range(8))
    tuning_seeds: tuple[int, ...] = (100, 101)


def candidates(setting: NeglectSetting) -> dict[str, dict[str, Excitation]]:
    """Build the settings of Attend-and-Excite to choose among, with and without vectors."""
    sizes = setting.sides, setting.step_sizes
    return {
        WITH: make_candidates(*sizes),
        WITHOUT: make_candidates(*sizes, layers="side", leave_out_last=True),
    }


def run_tuning(
    pipe: DiffusionPipeline, store: Path, setting: NeglectSetting = NeglectSetting()
) -> dict[str, Run]:
    """Try sides and step sizes on the pairs of the first section that are for choosing."""
    trials = plan_tuning(pipe, vectors(pipe, store, setting), setting)
    return run_trials(pipe, trials, store=store / TUNING, **setting.how)


def plan_tuning(
    pipe: DiffusionPipeline, hrv: xr.DataArray, setting: NeglectSetting
) -> Iterator[tuple[str, Trial]]:
    """Plan a trial of all settings with vectors, and one without."""
    pairs, score = _pairs(setting, _dev(setting))[0], setting.evaluators()
    for label, of_label in candidates(setting).items():
        weights = hrv if label == WITH else None
        conditions = try_conditions(pairs, of_label, weights)
        given = {"score": score, "seeds": setting.tuning_seeds, **setting.call}
        yield label, plan_pairs(pipe, hrv, pairs, conditions, **given)


def run_neglect(
    pipe: DiffusionPipeline, store: Path, setting: NeglectSetting = NeglectSetting()
) -> dict[str, Run]:
    """Generate the test pairs under every condition."""
    hrv, chosen = vectors(pipe, store, setting), PUBLISHED
    if _dev(setting) in read_pairs(setting.cases).sections:
        chosen = {
            label: candidates(setting)[label][best_condition(run.data.isel(evaluator=0))]
            for label, run in run_tuning(pipe, store, setting).items()
        }
    trials = plan_test(pipe, hrv, setting, chosen)
    return run_trials(pipe, trials, store=store / NEGLECT, **setting.how)


def plan_test(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    setting: NeglectSetting,
    chosen: Mapping[str, Excitation] | None = None,
) -> Iterator[tuple[str, Trial]]:
    """Plan a trial of every section, with the chosen settings, or those that come first."""
    score = setting.evaluators()
    if chosen is None:
        dev = _dev(setting) in read_pairs(setting.cases).sections
        first = {label: next(iter(some.values())) for label, some in candidates(setting).items()}
        chosen = first if dev else PUBLISHED
    for section in setting.sections:
        pairs = _pairs(setting, section)[0][: setting.pairs_each]
        trial = plan_excitations(
            pipe,
            hrv,
            pairs,
            with_vectors=chosen[WITH],
            without=chosen[WITHOUT],
            score=score,
            seeds=setting.seeds,
            **setting.call,
        )
        yield section, trial


def _dev(setting: NeglectSetting) -> str:
    """Name the section of the pairs by which settings are chosen."""
    return f"{setting.sections[0]}, dev"


def _pairs(setting: NeglectSetting, section: str) -> tuple[list[ObjectPair], list[str]]:
    """Return the pairs of a section that have vectors, and the concepts that others lack."""
    pairs = read_pairs(setting.cases).pairs(section)
    return split_cases(pairs, lambda pair: pair.concepts, setting)


def _lacking(setting: NeglectSetting) -> list[str]:
    """Name the concepts without vectors of all sections."""
    of_sections = [_pairs(setting, section)[1] for section in setting.sections]
    return list(dict.fromkeys(name for lacking in of_sections for name in lacking))


def extreme_pairs(data: xr.Dataset) -> NDArray[np.str_]:
    """Name images of the pairs where vectors gain most and least by the first evaluator."""
    worse = data["score"].isel(evaluator=0).min("object")
    most, least = extremes(worse.sel(condition="A&E-HRV") - worse.sel(condition="r ≡ 1"))
    return data["image"].isel(prompt=[most, least], seed=slice(SEEDS_SHOWN)).values


TUNING_STUDY = Study(
    TUNING,
    run_tuning,
    "vectors",
    needs=(VOTES,),
    setting=NeglectSetting(),
    plan=plan_tuning,
    lacks=lambda setting: _pairs(setting, _dev(setting))[1],
)
STUDY = Study(
    NEGLECT,
    run_neglect,
    "section",
    extreme_pairs,
    needs=(VOTES, TUNING),
    setting=NeglectSetting(),
    plan=plan_test,
    lacks=_lacking,
)
