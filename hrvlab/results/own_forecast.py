"""Forecast what the studies take on a model of the user's own, from a few units in few steps."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from hrvlab.dry_run import rehearse_votes
from hrvlab.experiments.ablations.conditions import VOTING_RULES
from hrvlab.experiments.ablations.study import AblationSetting
from hrvlab.forecast import forecast_calls
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.rehearsal import DryRun, Rehearsal, extrapolate, few_steps
from hrvlab.results.own import any_vectors
from hrvlab.scorers.base import rate
from hrvlab.storage.atomic import temporary_folder
from hrvlab.storage.images import save_images

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.runner import Trial, TrialUnit
    from hrvlab.experiments.study import Study

MEASURED = 3  # units of each study, spread over its first trial


def rehearse_study(pipe: DiffusionPipeline, study: Study) -> DryRun:
    """Forecast what a study takes that has not been run.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    study : Study
        With its own setting.

    Returns
    -------
    DryRun
        Of its own units; studies that it needs are taken as finished. Refinements of latents are
        counted as if they were as many for each step as in few steps, which is more than they are.
    """
    setting = study.setting
    assert setting is not None
    if study.plan is None:
        concepts = ConceptSet.read(setting.concepts)
        prompts = read_prompts(setting.prompts, setting.column)
        rules = 1
        if isinstance(setting, AblationSetting):
            prompts, rules = prompts[: setting.rule_prompts], len(VOTING_RULES)
        return _times(rehearse_votes(pipe, concepts, prompts, **setting.call), rules)
    hrv = any_vectors(pipe, setting.names)
    images = sum(
        len(unit.names) for _, trial in study.plan(pipe, hrv, setting) for unit in trial.units
    )
    short = few_steps(pipe, setting.call)
    few = replace(setting, steps=short.get("num_inference_steps", setting.steps))
    ratio = forecast_calls(pipe, setting.call) / forecast_calls(pipe, few.call)
    _, trial = next(study.plan(pipe, hrv, few))
    chosen = np.linspace(0, len(trial.units) - 1, MEASURED).round().astype(int)
    units = [trial.units[number] for number in dict.fromkeys(chosen.tolist())]
    measured = [_measure(pipe, trial, unit, ratio) for unit in units]
    of = images / sum(len(unit.names) for unit in units)
    return DryRun(
        seconds=of * sum(one.seconds for one in measured),
        memory=max(one.memory for one in measured),
        device_memory=max(one.device_memory for one in measured),
        written=round(of * sum(one.written for one in measured)),
        calls=ceil(of * sum(one.calls for one in measured)),
        seconds_per_call=max(one.seconds_per_call for one in measured),
    )


def _measure(pipe: DiffusionPipeline, trial: Trial, unit: TrialUnit, ratio: float) -> DryRun:
    """Generate, score and keep a unit, and forecast it in more denoiser calls."""
    with temporary_folder() as scratch:
        with Rehearsal(pipe) as rehearsal:
            generated = unit.generate(pipe)
            arrays = dict(generated.measures)
            for name, texts in unit.texts.items():
                arrays[name] = rate(trial.score, generated.images, texts, generated.withheld)
            save_images(scratch, unit.names, generated.images)
            np.savez_compressed(scratch / "unit.npz", allow_pickle=False, **arrays)
        written = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return extrapolate(rehearsal, round(ratio * rehearsal.calls), 1, written, grown=0)


def _times(one: DryRun, number: int) -> DryRun:
    """Return what several such runs take, one after the other."""
    return replace(
        one,
        seconds=number * one.seconds,
        written=number * one.written,
        calls=number * one.calls,
    )
