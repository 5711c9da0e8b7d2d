"""Forecast what the studies take on a model of the user's own, from a few units in few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hrvlab.dry_run import rehearse_votes
from hrvlab.experiments.ablations.conditions import VOTING_RULES
from hrvlab.experiments.ablations.study import AblationSetting
from hrvlab.experiments.rehearsal import rehearse_trials
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.rehearsal import together
from hrvlab.results.own import any_vectors

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.runner import Trial
    from hrvlab.experiments.study import Study
    from hrvlab.rehearsal import DryRun


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
        Of its own units and its result; studies that it needs are taken as finished. See
        `hrvlab.experiments.rehearsal.rehearse_trials`.
    """
    setting, planned = study.setting, study.plan
    assert setting is not None
    if planned is None:
        concepts = ConceptSet.read(setting.concepts)
        prompts = read_prompts(setting.prompts, setting.column)
        rules = 1
        if isinstance(setting, AblationSetting):
            prompts, rules = prompts[: setting.rule_prompts], len(VOTING_RULES)
        found = together([rehearse_votes(pipe, concepts, prompts, **setting.call)] * rules)
        # What is finished is kept once more in the result.
        return replace(found, written=2 * found.written)
    hrv = any_vectors(pipe, setting.names)

    def plan(call: Mapping[str, Any]) -> Iterator[Trial]:
        own = replace(setting, steps=call["num_inference_steps"])
        return (trial for _, trial in planned(pipe, hrv, own))

    return rehearse_trials(pipe, plan, setting.call, study.shown)
