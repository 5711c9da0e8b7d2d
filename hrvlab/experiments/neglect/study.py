"""The studies of neglect: settings are chosen on some pairs of objects and tested on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.neglect.cases import read_pairs
from hrvlab.experiments.neglect.conditions import make_candidates
from hrvlab.experiments.neglect.trial import best_condition, compare_excitations, try_excitations
from hrvlab.experiments.study import SEEDS_SHOWN, CommonSetting, Study
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.paths import MINIATURE
from hrvlab.scorers.clip import clip_score
from hrvlab.scorers.pair_judge import pair_score

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.methods.excitation import Excitation
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run

NEGLECT, TUNING = "neglect", "neglect-tuning"
WITH, WITHOUT = "with vectors", "without vectors"


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
    hrv = vectors(pipe, store, setting)
    pairs = read_pairs(setting.cases).pairs(f"{setting.sections[0]}, dev")
    return {
        label: try_excitations(
            pipe,
            hrv,
            pairs,
            of_label,
            vectors=label == WITH,
            score=setting.evaluators(),
            seeds=setting.tuning_seeds,
            store=store / TUNING,
            **setting.call,
        )
        for label, of_label in candidates(setting).items()
    }


def run_neglect(
    pipe: DiffusionPipeline, store: Path, setting: NeglectSetting = NeglectSetting()
) -> dict[str, Run]:
    """Generate the test pairs under every condition."""
    hrv, cases = vectors(pipe, store, setting), read_pairs(setting.cases)
    chosen = {
        label: candidates(setting)[label][best_condition(run.data.isel(evaluator=0))]
        for label, run in run_tuning(pipe, store, setting).items()
    }
    return {
        section: compare_excitations(
            pipe,
            hrv,
            cases.pairs(section, setting.pairs_each),
            with_vectors=chosen[WITH],
            without=chosen[WITHOUT],
            score=setting.evaluators(),
            seeds=setting.seeds,
            store=store / NEGLECT,
            **setting.call,
        )
        for section in setting.sections
    }


def extreme_pairs(data: xr.Dataset) -> NDArray[np.str_]:
    """Name images of the pairs where vectors gain most and least by the first evaluator."""
    worse = data["score"].isel(evaluator=0).min("object")
    most, least = extremes(worse.sel(condition="A&E-HRV") - worse.sel(condition="r ≡ 1"))
    return data["image"].isel(prompt=[most, least], seed=slice(SEEDS_SHOWN)).values


TUNING_STUDY = Study(TUNING, run_tuning, "vectors", needs=(VOTES,))
STUDY = Study(NEGLECT, run_neglect, "section", extreme_pairs, needs=(VOTES, TUNING))
