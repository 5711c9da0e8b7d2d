"""Plotly figures, one function each: labeled data in, a figure out; they compute no results."""

from hrvlab.figures.answers import head_ranking, word_ranking
from hrvlab.figures.capture import attention_parts, head_timeline, word_overlays
from hrvlab.figures.conditions import (
    condition_matrix,
    condition_rates,
    setting_matrix,
    text_state_positions,
    trade_off,
)
from hrvlab.figures.images import image_grid, image_table
from hrvlab.figures.quality import loss_curves, rates
from hrvlab.figures.relevance import (
    block_bars,
    concentration,
    concept_matrix,
    convergence_curves,
    relevance_map,
    reliability,
    top_heads,
    vote_counts,
)
from hrvlab.figures.weakening import area_gaps, causal_agreement, weakening_curves

__all__ = [
    "area_gaps",
    "attention_parts",
    "block_bars",
    "causal_agreement",
    "concentration",
    "concept_matrix",
    "condition_matrix",
    "condition_rates",
    "convergence_curves",
    "head_ranking",
    "head_timeline",
    "image_grid",
    "image_table",
    "loss_curves",
    "rates",
    "relevance_map",
    "reliability",
    "setting_matrix",
    "text_state_positions",
    "top_heads",
    "trade_off",
    "vote_counts",
    "weakening_curves",
    "word_overlays",
    "word_ranking",
]
