"""Ablations: ordered weakening with one factor changed at a time."""

from hrvlab.experiments.ablations.conditions import VOTING_RULES, variants
from hrvlab.experiments.ablations.trial import ablate, by_variant, differences
from hrvlab.experiments.findings import compare

__all__ = [
    "VOTING_RULES",
    "ablate",
    "by_variant",
    "compare",
    "differences",
    "variants",
]
