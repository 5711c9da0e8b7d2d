"""Quality of the miniature: rates of right answers, and training losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hrvlab.figures.style import (
    ACCENT,
    IMAGE_COLORS,
    error_bars,
    escaped,
    name_positions,
    styled,
)

COLUMNS = 4


def rates(rows: Sequence[Mapping[str, Any]], *, title: str) -> go.Figure:
    """Plot how often questions are answered right, for rendered and for generated images.

    Parameters
    ----------
    rows : sequence of mapping
        With ``question``; ``images``, ``"rendered"`` or ``"generated"``; ``correct`` answers and
        the number ``of`` all; and the ends ``low`` and ``high`` of the rate's 95 % interval. Rows
        of other images are left out.
    title : str
    """
    figure = go.Figure()
    questions = list(dict.fromkeys(row["question"] for row in rows))
    for source, color in IMAGE_COLORS.items():
        chosen = [row for row in rows if row["images"] == source]
        if not chosen:
            continue
        values = [row["correct"] / row["of"] for row in chosen]
        low, high = ([row[end] for row in chosen] for end in ("low", "high"))
        figure.add_scatter(
            x=values,
            y=[questions.index(row["question"]) for row in chosen],
            mode="markers",
            name=source,
            marker={"color": color, "size": 10},
            error_x=error_bars(values, low, high),
            text=[f"{row['correct']} of {row['of']}" for row in chosen],
            hovertemplate="%{y}: %{text}<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="share of right answers, 95 % interval", range=[0, 1.02])
    figure.update_yaxes(name_positions(questions, downward=True))
    return styled(figure, title=title, height=130 + 42 * len(questions))


def loss_curves(losses: Mapping[str, Mapping[str, Sequence[float]]]) -> go.Figure:
    """Plot the loss of every training stage, a panel for each.

    Parameters
    ----------
    losses : mapping of str to mapping
        For each stage, ``step`` and ``loss``.
    """
    columns = min(COLUMNS, len(losses))
    rows = -(-len(losses) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[escaped(stage) for stage in losses],
        horizontal_spacing=0.06,
        vertical_spacing=0.36 / rows,
    )
    for index, curve in enumerate(losses.values()):
        row, column = divmod(index, columns)
        figure.add_scatter(
            x=curve["step"],
            y=curve["loss"],
            mode="lines",
            line={"color": ACCENT},
            showlegend=False,
            hovertemplate="step %{x}: %{y:.4f}<extra></extra>",
            row=row + 1,
            col=column + 1,
        )
    figure.update_xaxes(title="optimizer step", title_font_size=12, nticks=4)
    figure.update_yaxes(type="log")
    figure.update_annotations(font_size=13)
    return styled(figure, title="Loss of every training stage", height=120 + 240 * rows)
