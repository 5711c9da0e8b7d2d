"""Measured rates with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hrvlab.figures.style import ACCENT, QUIET, styled


def rates(rows: Sequence[Mapping[str, Any]], *, title: str) -> go.Figure:
    """Show how often questions were answered right, drawn and generated pictures side by side.

    Parameters
    ----------
    rows : sequence of mapping
        With ``question``, ``pictures``, ``correct``, ``of``, and the bounds ``low`` and ``high``.
    title : str
    """
    figure = go.Figure()
    questions = list(dict.fromkeys(row["question"] for row in rows))
    for source, color in (("drawn", QUIET), ("generated", ACCENT)):
        chosen = [row for row in rows if row["pictures"] == source]
        if not chosen:
            continue
        values = [row["correct"] / row["of"] for row in chosen]
        figure.add_scatter(
            x=values,
            y=[row["question"] for row in chosen],
            mode="markers",
            name=source,
            marker={"color": color, "size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["high"] - v for row, v in zip(chosen, values, strict=True)],
                "arrayminus": [v - row["low"] for row, v in zip(chosen, values, strict=True)],
                "thickness": 1.5,
            },
            text=[f"{row['correct']} of {row['of']}" for row in chosen],
            hovertemplate="%{y}: %{text}<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="share answered right, with 95 % interval", range=[0, 1.02])
    figure.update_yaxes(categoryorder="array", categoryarray=questions[::-1])
    return styled(figure, title=title, height=130 + 42 * len(questions))


def loss_curves(losses: Mapping[str, Mapping[str, Sequence[float]]]) -> go.Figure:
    """Show the loss of every stage of training, side by side.

    Parameters
    ----------
    losses : mapping of str to mapping
        For each stage, ``step`` and ``loss``.
    """
    figure = make_subplots(1, len(losses), subplot_titles=list(losses), horizontal_spacing=0.08)
    for column, curve in enumerate(losses.values(), start=1):
        figure.add_scatter(
            x=curve["step"],
            y=curve["loss"],
            mode="lines",
            line={"color": ACCENT},
            showlegend=False,
            hovertemplate="step %{x}: %{y:.4f}<extra></extra>",
            row=1,
            col=column,
        )
    figure.update_xaxes(title="step").update_yaxes(type="log")
    return styled(figure, title="Loss of each stage", height=360)
