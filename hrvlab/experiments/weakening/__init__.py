"""Ordered weakening: weaken heads in the order of their relevance, and see the concept vanish."""

from hrvlab.experiments.weakening.cases import read_weakening, weakening_prompts
from hrvlab.experiments.weakening.curves import area, by_kind, gaps
from hrvlab.experiments.weakening.findings import count_clear, failures, symptoms
from hrvlab.experiments.weakening.trial import weaken

__all__ = [
    "area",
    "by_kind",
    "count_clear",
    "failures",
    "gaps",
    "read_weakening",
    "symptoms",
    "weaken",
    "weakening_prompts",
]
