"""Effects of single heads: weaken each alone, and compare the effects with relevance vectors."""

from hrvlab.experiments.head_effects.agreement import (
    agreement,
    agreement_by_concept,
    vectors_and_baselines,
)
from hrvlab.experiments.head_effects.findings import describe
from hrvlab.experiments.head_effects.trial import effects_beside_attention, head_effects

__all__ = [
    "agreement",
    "agreement_by_concept",
    "describe",
    "effects_beside_attention",
    "head_effects",
    "vectors_and_baselines",
]
