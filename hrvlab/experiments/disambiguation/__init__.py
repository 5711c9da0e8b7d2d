"""Disambiguation: how often images show the wrong sense of a word, and what helps."""

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.disambiguation.cases import read_disambiguation
from hrvlab.experiments.disambiguation.findings import what_decides
from hrvlab.experiments.disambiguation.text_states import read_states
from hrvlab.experiments.disambiguation.trial import disambiguate
from hrvlab.experiments.findings import compare, where_it_helps

__all__ = [
    "compare",
    "disambiguate",
    "extremes",
    "read_disambiguation",
    "read_states",
    "what_decides",
    "where_it_helps",
]
