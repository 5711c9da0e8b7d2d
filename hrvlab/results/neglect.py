"""The studies of two things in a picture: settings are tried on some pairs and shown on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.experiments.arms import extremes
from hrvlab.experiments.excitation import Excitation
from hrvlab.experiments.neglect_trial import compare_excitations, likeliest, try_excitations
from hrvlab.experiments.neglect_ways import make_candidates
from hrvlab.experiments.pairs import read_pairs
from hrvlab.results.setting import SEEDS_SHOWN, SHIPPED, Setting
from hrvlab.results.votes import vectors

NEGLECT, TUNING = "neglect", "neglect-tuning"
WITH, WITHOUT = "with vectors", "without vectors"


def candidates(setting: Setting) -> dict[str, dict[str, Excitation]]:
    """Write down the settings to choose among, with and without vectors."""
    sizes = setting.sides, setting.step_sizes
    return {
        WITH: make_candidates(*sizes),
        WITHOUT: make_candidates(*sizes, layers="side", leave_out_last=True),
    }


def run_tuning(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Try sides and step sizes on the pairs for choosing of the first section."""
    hrv = vectors(pipe, store, setting)
    pairs = read_pairs(setting.pairs).pairs(f"{setting.sections[0]}, dev")
    return {
        label: try_excitations(
            pipe,
            hrv,
            pairs,
            of_label,
            vectors=label == WITH,
            score=setting.pair_witnesses(),
            seeds=setting.excited_seeds,
            store=store / TUNING,
            **setting.call,
        )
        for label, of_label in candidates(setting).items()
    }


def run_neglect(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Draw pairs that nothing was chosen by, in every way, with the settings chosen."""
    hrv, listed = vectors(pipe, store, setting), read_pairs(setting.pairs)
    chosen = {
        label: candidates(setting)[label][likeliest(tried.isel(witness=0))]
        for label, tried in run_tuning(pipe, store, setting).items()
    }
    return {
        section: compare_excitations(
            pipe,
            hrv,
            listed.pairs(section, setting.pairs_each),
            with_vectors=chosen[WITH],
            without=chosen[WITHOUT],
            score=setting.pair_witnesses(),
            seeds=setting.shown_seeds,
            store=store / NEGLECT,
            **setting.call,
        )
        for section in setting.sections
    }


def extreme_pairs(part: xr.Dataset) -> NDArray[np.str_]:
    """Name pictures of the pairs of which the vectors show most and least to the first witness."""
    worse = part["score"].isel(witness=0).min("half")
    most, least = extremes(worse.sel(arm="A&E-HRV") - worse.sel(arm="r ≡ 1"))
    return part["image"].isel(prompt=[most, least], seed=slice(SEEDS_SHOWN)).values
