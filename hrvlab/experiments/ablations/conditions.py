"""Conditions of ablations: variants of ordered weakening, and other voting rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hrvlab.attention import VotingRule
from hrvlab.experiments.head_factors import SCORED

PUBLISHED = "published"
VOTING_RULES: Mapping[str, VotingRule] = {
    "votes": VotingRule(),
    "votes without the start token": VotingRule(start=False),
    "attention": VotingRule(mass=True),
    "attention without the start token": VotingRule(mass=True, start=False),
}


def variants(calls: int) -> dict[str, dict[str, Any]]:
    """List the variants of weakening, with the keywords in which each differs from the published.

    Parameters
    ----------
    calls : int
        Number of denoiser calls per image; the windows are thirds of them.

    Returns
    -------
    dict of str to dict
        By name, keywords of `hrvlab.weaken`.

    Examples
    --------
    >>> from hrvlab.experiments.ablations import variants
    >>> variants(6)["second third"]
    {'window': (2, 4)}
    """
    third = calls // 3
    return {
        PUBLISHED: {},
        "factor -1": {"factor": -1.0},
        "factor 0": {"factor": 0.0},
        "factor 0.5": {"factor": 0.5},
        "concept word only": {"tokens": SCORED},
        "first third": {"window": (0, third)},
        "second third": {"window": (third, 2 * third)},
        "last third": {"window": (2 * third, None)},
    }
