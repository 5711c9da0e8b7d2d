"""The studies of ablations: other voting rules, and variants of ordered weakening."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.experiments.ablations.conditions import VOTING_RULES
from hrvlab.experiments.ablations.trial import plan_ablations
from hrvlab.experiments.runner import run_trials
from hrvlab.experiments.study import Study
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.experiments.weakening.study import (
    WordsSetting,
    chosen_cases,
    lacking_concepts,
    split_concepts,
)
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.relevance import votes
from hrvlab.relevance.vectors import relevance

if TYPE_CHECKING:
    import xarray as xr
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.runner import Trial
    from hrvlab.storage.run import Run

RULES, ABLATIONS = "voting-rules", "ablations"


@dataclass(frozen=True)
class AblationSetting(WordsSetting):
    """Parameters of the studies, whose prompts are those of ordered weakening.

    Parameters
    ----------
    rule_prompts : int
        Number of prompts from which vectors are built with each voting rule.
    ablated : tuple of str
        Concepts whose heads are weakened; where there are none of them, the first that there are.
    cuts : tuple of int
        Numbers of weakened heads, besides none and all.
    draws : int
        Number of random orders.
    """

    rule_prompts: int = 128
    ablated: tuple[str, ...] = ("Weather Conditions", "Image Style", "Color", "Material")
    seeds_each: int = 1
    cuts: tuple[int, ...] = (16, 64)
    draws: int = 2


def run_voting_rules(
    pipe: DiffusionPipeline, store: Path, setting: AblationSetting = AblationSetting()
) -> dict[str, Run]:
    """Collect votes with every voting rule, from the same prompts."""
    concepts = ConceptSet.read(setting.concepts)
    prompts = read_prompts(setting.prompts, setting.column)[: setting.rule_prompts]
    given = {"store": store / RULES, **setting.call, **setting.how}
    return {
        name: votes.run_votes(pipe, concepts, prompts, voting_rule=rule, **given)
        for name, rule in VOTING_RULES.items()
    }


def run_ablations(
    pipe: DiffusionPipeline, store: Path, setting: AblationSetting = AblationSetting()
) -> dict[str, Run]:
    """Weaken heads of a few concepts in all variants, and in the order of other vectors."""
    hrv = vectors(pipe, store, setting)
    by_rule = {
        name: relevance(run.data) for name, run in run_voting_rules(pipe, store, setting).items()
    }
    trials = plan_all(pipe, hrv, setting, by_rule)
    return run_trials(pipe, trials, store=store / ABLATIONS, **setting.how)


def plan_all(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    setting: AblationSetting,
    by_rule: Mapping[str, xr.DataArray] | None = None,
) -> Iterator[tuple[str, Trial]]:
    """Plan a trial for every concept and variant; without other vectors, with the same ones."""
    score = setting.evaluators()
    there, _ = split_concepts(setting)
    ablated = [name for name in setting.ablated if name in there]
    for concept in ablated or there[: len(setting.ablated)]:
        trials = plan_ablations(
            pipe,
            hrv,
            concept,
            by_rule=by_rule or dict.fromkeys(VOTING_RULES, hrv),
            **chosen_cases(setting, concept),
            score=score,
            cuts=setting.cuts,
            draws=setting.draws,
            **setting.call,
        )
        for variant, trial in trials:
            yield f"{concept}, {variant}", trial


VOTING_RULES_STUDY = Study(RULES, run_voting_rules, "voting_rule", setting=AblationSetting())
STUDY = Study(
    ABLATIONS,
    run_ablations,
    needs=(VOTES, RULES),
    setting=AblationSetting(),
    plan=plan_all,
    lacks=lacking_concepts,
)
