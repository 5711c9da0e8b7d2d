"""Neglect: how often images show both of two objects, and what helps."""

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.findings import compare
from hrvlab.experiments.neglect.cases import read_pairs
from hrvlab.experiments.neglect.outcomes import best_condition, count_outcomes
from hrvlab.experiments.neglect.trial import compare_excitations

__all__ = [
    "best_condition",
    "compare",
    "compare_excitations",
    "count_outcomes",
    "extremes",
    "read_pairs",
]
