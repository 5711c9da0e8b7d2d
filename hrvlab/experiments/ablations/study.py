"""The studies of ablations: other voting rules, and variants of ordered weakening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.experiments.ablations.conditions import VOTING_RULES
from hrvlab.experiments.ablations.trial import ablate
from hrvlab.experiments.study import CommonSetting, Study
from hrvlab.experiments.votes.study import VOTES, vectors
from hrvlab.experiments.weakening.cases import choose_cases
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.paths import MINIATURE
from hrvlab.relevance import votes
from hrvlab.relevance.vectors import relevance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.inputs.cases import Split
    from hrvlab.storage.run import Run

RULES, ABLATIONS = "voting-rules", "ablations"


@dataclass(frozen=True)
class AblationSetting(CommonSetting):
    """Parameters of the studies.

    Parameters
    ----------
    rule_prompts : int
        Number of prompts from which vectors are built with each voting rule.
    ablated : tuple of str
        Concepts whose heads are weakened.
    cases : str or Path
        Prompts of each concept, those of ordered weakening.
    split : {"dev", "test"}
    prompts_each, seeds_each : int
        Numbers of prompts of each concept, and of images of each prompt.
    cuts : tuple of int
        Numbers of weakened heads, besides none and all.
    draws : int
        Number of random orders.
    """

    rule_prompts: int = 128
    ablated: tuple[str, ...] = ("Weather Conditions", "Image Style", "Color", "Material")
    cases: str | Path = MINIATURE
    split: Split = "test"
    prompts_each: int = 8
    seeds_each: int = 1
    cuts: tuple[int, ...] = (16, 64)
    draws: int = 2


def run_voting_rules(
    pipe: DiffusionPipeline, store: Path, setting: AblationSetting = AblationSetting()
) -> dict[str, Run]:
    """Collect votes with every voting rule, from the same prompts."""
    concepts = ConceptSet.read(setting.concepts)
    prompts = read_prompts(setting.prompts)[: setting.rule_prompts]
    given = {"store": store / RULES, **setting.call}
    return {
        name: votes.run_votes(pipe, concepts, prompts, voting_rule=rule, **given)
        for name, rule in VOTING_RULES.items()
    }


def run_ablations(
    pipe: DiffusionPipeline, store: Path, setting: AblationSetting = AblationSetting()
) -> dict[str, Run]:
    """Weaken heads of a few concepts in all variants, and in the order of other vectors."""
    hrv, score = vectors(pipe, store, setting), setting.evaluators()
    by_rule = {
        name: relevance(run.data) for name, run in run_voting_rules(pipe, store, setting).items()
    }
    return {
        f"{concept}, {variant}": run
        for concept in setting.ablated
        for variant, run in ablate(
            pipe,
            hrv,
            concept,
            by_rule=by_rule,
            **choose_cases(
                setting.cases,
                concept,
                setting.prompts_each,
                setting.seeds_each,
                split=setting.split,
            ),
            score=score,
            cuts=setting.cuts,
            draws=setting.draws,
            store=store / ABLATIONS,
            **setting.call,
        ).items()
    }


VOTING_RULES_STUDY = Study(RULES, run_voting_rules, "voting_rule")
STUDY = Study(ABLATIONS, run_ablations, needs=(VOTES, RULES))
