"""Plotly figures: one function each, labelled data in, a figure out; nothing is computed here."""

from hrvlab.figures.arms import (
    arm_matrix,
    arm_rates,
    setting_matrix,
    trade_off,
    word_positions,
)
from hrvlab.figures.capture import attention_parts, head_timeline, word_overlays
from hrvlab.figures.images import image_grid, image_table
from hrvlab.figures.quality import loss_curves, rates
from hrvlab.figures.relevance import (
    concentration,
    concept_matrix,
    convergence_curves,
    place_bars,
    relevance_map,
    reliability,
    top_heads,
    vote_counts,
)
from hrvlab.figures.weakening import (
    area_gaps,
    causal_agreement,
    weakening_curves,
)

__all__ = [
    "area_gaps",
    "arm_matrix",
    "arm_rates",
    "attention_parts",
    "causal_agreement",
    "concentration",
    "concept_matrix",
    "convergence_curves",
    "head_timeline",
    "image_grid",
    "image_table",
    "loss_curves",
    "place_bars",
    "rates",
    "relevance_map",
    "reliability",
    "setting_matrix",
    "top_heads",
    "trade_off",
    "vote_counts",
    "weakening_curves",
    "word_overlays",
    "word_positions",
]
