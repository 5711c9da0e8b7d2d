"""Editing: replace words of a prompt, and measure what is gained against what is preserved."""

from hrvlab.experiments.conditions import extremes
from hrvlab.experiments.editing.cases import read_editing, some_of_each
from hrvlab.experiments.editing.trial import compare_edits, misses
from hrvlab.experiments.findings import compare, where_it_helps

__all__ = [
    "compare",
    "compare_edits",
    "extremes",
    "misses",
    "read_editing",
    "some_of_each",
    "where_it_helps",
]
