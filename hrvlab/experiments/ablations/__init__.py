"""Ablations: ordered weakening with one factor changed at a time."""

from hrvlab.experiments.ablations.conditions import VOTING_RULES, variants
from hrvlab.experiments.ablations.trial import ablate, by_variant, differences
from hrvlab.experiments.findings import compare
from hrvlab.experiments.head_effects import agreement_by_concept, describe
from hrvlab.experiments.weakening import gaps, read_weakening, weakening_prompts

__all__ = [
    "VOTING_RULES",
    "ablate",
    "agreement_by_concept",
    "by_variant",
    "compare",
    "describe",
    "differences",
    "gaps",
    "read_weakening",
    "variants",
    "weakening_prompts",
]
