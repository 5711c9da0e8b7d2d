"""Comparisons of conditions: their rates, trade-offs and text states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.style import (
    ACCENT,
    CONDITION_COLORS,
    INK,
    MUTED,
    RATE_SCALE,
    STATE_COLORS,
    SYMBOLS,
    error_bars,
    escaped,
    name_positions,
    styled,
)


def condition_rates(rates: xr.Dataset, *, subject: str, title: str, axis: str) -> go.Figure:
    """Plot the rate of every condition with its interval.

    Parameters
    ----------
    rates : xarray.Dataset, dims (condition,) or (evaluator, condition)
        ``mean``, ``low`` and ``high``; evaluators lie above one another.
    subject : str
        The condition that the others are compared with; a line marks its rate.
    title : str
    axis : str
        What the rate is a share of.
    """
    names = [str(name) for name in rates["condition"].values]
    colors = [ACCENT if name == subject else MUTED for name in names]
    figure = go.Figure()
    for number, (evaluator, one) in enumerate(_by_evaluator(rates)):
        figure.add_scatter(
            x=one["mean"].values,
            y=list(range(len(names))),
            mode="markers",
            orientation="h",
            name=escaped(evaluator),
            showlegend="evaluator" in rates.dims,
            marker={"color": colors, "size": 11, "symbol": SYMBOLS[number % len(SYMBOLS)]},
            error_x=error_bars(one["mean"], one["low"], one["high"], color=INK),
            hovertemplate="%{y}: %{x:.0%}<extra>%{fullData.name}</extra>",
        )
        marked = float(one["mean"].sel(condition=subject))
        figure.add_vline(marked, line_color=ACCENT, line_dash="dot", line_width=1)
    figure.update_xaxes(
        title=f"{escaped(axis)}, 95 % interval", range=[-0.02, 1.02], tickformat=".0%"
    )
    figure.update_yaxes(name_positions(names, downward=True))
    figure.update_layout(
        scattermode="group", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    return styled(figure, title=title, height=150 + 42 * len(names)).update_layout(
        margin={"l": 190}
    )


def condition_matrix(rates: xr.DataArray, *, title: str) -> go.Figure:
    """Plot the rate of every prompt, in rows, under every condition, in columns.

    Parameters
    ----------
    rates : xarray.DataArray, dims (condition, prompt)
        With the coordinate ``prompt_text``.
    title : str
    """
    values = rates.transpose("prompt", "condition")
    prompts = [str(text) for text in values["prompt_text"].values]
    conditions = [str(condition) for condition in values["condition"].values]
    return _matrix(values.values, prompts, conditions, title=title)


def setting_matrix(rates: xr.DataArray, *, title: str) -> go.Figure:
    """Plot the rate under every condition, in rows, of every case, in columns.

    Parameters
    ----------
    rates : xarray.DataArray, dims (condition, case)
        With labels along both; there may be many more conditions than cases.
    title : str
    """
    values = rates.transpose("condition", "case")
    conditions, cases = (
        [str(name) for name in values[dim].values] for dim in ("condition", "case")
    )
    return _matrix(values.values, conditions, cases, title=title)


def trade_off(
    across: xr.Dataset,
    up: xr.Dataset,
    *,
    title: str,
    axes: tuple[str, str],
    path: Sequence[str] = (),
) -> go.Figure:
    """Plot every condition as a point in two measures, each with its interval.

    Parameters
    ----------
    across, up : xarray.Dataset, dims (condition,) or (evaluator, condition)
        ``mean``, ``low`` and ``high`` of the measures along the horizontal and the vertical axis;
        each evaluator of the vertical one has a panel.
    title : str
    axes : tuple of str
        Titles of the horizontal and the vertical axis.
    path : sequence of str
        Conditions to join by a line, such as one method at growing strengths.
    """
    panels = _by_evaluator(up)
    figure = make_subplots(
        1,
        len(panels),
        subplot_titles=[escaped(evaluator) for evaluator, _ in panels],
        horizontal_spacing=0.09,
    )
    for panel, (evaluator, ups) in enumerate(panels, start=1):
        acrosses = across.sel(evaluator=evaluator) if "evaluator" in across.dims else across
        if path:
            figure.add_scatter(
                x=acrosses["mean"].sel(condition=list(path)).values,
                y=ups["mean"].sel(condition=list(path)).values,
                mode="lines",
                line={"color": ACCENT, "width": 1, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=panel,
            )
        for number, condition in enumerate(str(condition) for condition in ups["condition"].values):
            x, y = acrosses.sel(condition=[condition]), ups.sel(condition=[condition])
            color = CONDITION_COLORS[number % len(CONDITION_COLORS)]
            figure.add_scatter(
                x=x["mean"].values,
                y=y["mean"].values,
                error_x=error_bars(x["mean"], x["low"], x["high"]),
                error_y=error_bars(y["mean"], y["low"], y["high"]),
                mode="markers",
                name=escaped(condition),
                legendgroup=condition,
                showlegend=panel == 1,
                marker={
                    "size": 11,
                    "symbol": SYMBOLS[number % len(SYMBOLS)],
                    "color": ACCENT if condition in path else color,
                },
                hovertemplate="%{x:.3f}, %{y:.3f}",
                row=1,
                col=panel,
            )
        figure.update_xaxes(title=escaped(axes[0]), row=1, col=panel)
    figure.update_yaxes(title=escaped(axes[1]), row=1, col=1)
    return styled(figure, title=title, height=480)


def text_state_positions(found: xr.Dataset, *, title: str) -> go.Figure:
    """Plot where the text states of ambiguous words lie between two concepts.

    Parameters
    ----------
    found : xarray.Dataset, dims (state, prompt)
        From `hrvlab.experiments.disambiguation.text_states.read_states`.
    title : str
    """
    pairs = zip(found["prompt_text"].values, found["wanted"].values, strict=True)
    rows = [f"{prompt}: {wanted}" for prompt, wanted in pairs]
    figure = go.Figure()
    for number, state in enumerate(found["state"].values):
        one = found.isel(state=number)
        figure.add_scatter(
            x=one["position"].values,
            y=list(range(len(rows))),
            mode="markers",
            name=escaped(f"{state} token"),
            marker={"size": 11, "symbol": SYMBOLS[number], "color": STATE_COLORS[number]},
            customdata=one["accuracy"].values,
            hovertemplate="%{y}: %{x:.2f}<br>"
            "words of the two concepts told apart: %{customdata:.0%}",
        )
    for value in (-1, 1):
        figure.add_vline(value, line_color=INK, line_width=1)
    figure.add_vline(0, line_color=MUTED, line_dash="dot")
    figure.update_xaxes(title="position (−1: unwanted concept’s mean, 1: wanted concept’s mean)")
    figure.update_yaxes(name_positions(rows, downward=True))
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return styled(figure, title=title, height=190 + 30 * len(rows)).update_layout(margin={"l": 240})


def _matrix(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, title: str
) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=0,
            zmax=1,
            colorscale=RATE_SCALE,
            showscale=False,
            texttemplate="%{z:.0%}",
            xgap=2,
            ygap=2,
            hovertemplate="%{y}, %{x}: %{z:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(name_positions(columns), side="top")
    figure.update_yaxes(name_positions(rows, downward=True))
    return styled(figure, title=title, height=190 + 30 * len(rows)).update_layout(
        margin={"l": 190, "t": 140}
    )


def _by_evaluator(rates: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    if "evaluator" not in rates.dims:
        return [("", rates)]
    return [(str(name), rates.sel(evaluator=name)) for name in rates["evaluator"].values]
