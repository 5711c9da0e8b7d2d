"""Ordered weakening of heads, and the effects of single heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.style import (
    INK,
    ORDER_COLORS,
    VECTOR_COLORS,
    error_bars,
    escaped,
    faded,
    name_positions,
    styled,
)

ORDER_NAMES = {
    "MoRHF": "most relevant heads first",
    "LeRHF": "least relevant heads first",
    "random": "random order",
}
COLUMNS = 4


def weakening_curves(summary: xr.Dataset, *, title: str) -> go.Figure:
    """Plot every concept's score against the share of weakened heads, with bands of intervals.

    Parameters
    ----------
    summary : xarray.Dataset, dims (concept, kind, weakened)
        ``mean``, ``low`` and ``high`` with the coordinate ``share``.
    title : str
    """
    names = [str(name) for name in summary["concept"].values]
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[escaped(name) for name in names],
        horizontal_spacing=0.05,
        vertical_spacing=0.3 / rows,
    )
    for index in range(len(names)):
        row, column = divmod(index, columns)
        for trace in _curves(summary.isel(concept=index), legend=index == 0):
            figure.add_trace(trace, row + 1, column + 1)
    figure.update_xaxes(tickformat=".0%").update_annotations(font_size=13)
    figure.update_xaxes(title="heads weakened", row=rows)
    figure.update_xaxes(title_font_size=12)
    return _headed(figure, title=title, height=150 + 220 * rows)


def area_gaps(gaps: xr.Dataset, *, panel: str, title: str) -> go.Figure:
    """Plot area gaps with their intervals.

    Parameters
    ----------
    gaps : xarray.Dataset, dims ({panel}, concept or variant, kind)
        ``mean``, ``low`` and ``high``; positive where the vector orders heads better than the
        order of that kind.
    panel : str
        Dim with a panel for each entry, side by side.
    title : str
        Of the whole figure; "area gap, 95 % interval" is appended.
    """
    kinds = [str(kind) for kind in gaps["kind"].values]
    return _panels(
        gaps,
        panel,
        {f"against {ORDER_NAMES[kind]}": gaps.sel(kind=kind) for kind in kinds},
        [ORDER_COLORS[kind] for kind in kinds],
        axis="area gap",
        title=f"{title}: area gap, 95 % interval",
    )


def causal_agreement(found: xr.Dataset) -> go.Figure:
    """Plot how vectors correlate with the effects of single heads, with a panel per evaluator.

    Parameters
    ----------
    found : xarray.Dataset, dims (evaluator, concept, vector)
        ``correlation``, ``low`` and ``high``, and ``ceiling (evaluator, concept)``, the highest
        correlation that the reliability of the effects allows.
    """
    vectors = [str(vector) for vector in found["vector"].values]
    dots = found.rename(correlation="mean")
    figure = _panels(
        dots,
        "evaluator",
        {vector: dots.sel(vector=vector) for vector in vectors},
        [VECTOR_COLORS[number % len(VECTOR_COLORS)] for number in range(len(vectors))],
        axis="rank correlation",
        title="Agreement with the effects of single heads: rank correlation, 95 % interval",
    )
    for number in range(found.sizes["evaluator"]):
        ceiling = go.Scatter(
            x=found["ceiling"].isel(evaluator=number).values,
            y=list(range(found.sizes["concept"])),
            mode="markers",
            orientation="h",
            name="reliability ceiling",
            legendgroup="ceiling",
            showlegend=number == 0,
            marker={"symbol": "line-ns-open", "size": 16, "color": INK},
            hovertemplate="%{y}: %{x:.2f}",
        )
        figure.add_trace(ceiling, 1, number + 1)
    return figure


def _curves(one: xr.Dataset, *, legend: bool) -> Iterator[go.Scatter]:
    """Yield a concept's band and curve for each kind of order."""
    share = one["share"].values
    for kind in (str(kind) for kind in one["kind"].values):
        mean, low, high = (one[name].sel(kind=kind).values for name in ("mean", "low", "high"))
        yield go.Scatter(
            x=[*share, *share[::-1]],
            y=[*high, *low[::-1]],
            fill="toself",
            fillcolor=faded(ORDER_COLORS[kind]),
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=kind,
        )
        yield go.Scatter(
            x=share,
            y=mean,
            mode="lines+markers",
            line={"color": ORDER_COLORS[kind]},
            marker={"size": 5},
            name=ORDER_NAMES[kind],
            legendgroup=kind,
            showlegend=legend,
            hovertemplate="%{x:.0%} of heads: %{y:.3f}",
        )


def _panels(
    summary: xr.Dataset,
    panel: str,
    groups: dict[str, xr.Dataset],
    colors: Sequence[str],
    *,
    axis: str,
    title: str,
) -> go.Figure:
    """Plot dots with intervals, a panel for each entry of one dim, a row for each of another."""
    names = [str(name) for name in summary[panel].values]
    (along,) = set(next(iter(groups.values()))["mean"].dims) - {panel}
    rows = summary.sizes[along]
    figure = make_subplots(
        1,
        len(names),
        shared_yaxes=True,
        subplot_titles=[escaped(name) for name in names] if len(names) > 1 else None,
        horizontal_spacing=0.03,
    )
    for column in range(len(names)):
        for (label, group), color in zip(groups.items(), colors, strict=True):
            dots = _dots(group.isel({panel: column}), color, label, legend=column == 0)
            figure.add_trace(dots, 1, column + 1)
    figure.add_vline(0, line_color=INK, line_width=1)
    figure.update_xaxes(title=axis, title_font_size=12)
    figure.update_yaxes(name_positions(summary[along].values, downward=True))
    figure.update_annotations(font_size=13).update_layout(scattermode="group")
    height = 190 + (10 + 12 * len(groups)) * rows
    return _headed(figure, title=title, height=height).update_layout(margin_l=190)


def _dots(one: xr.Dataset, color: str, name: str, *, legend: bool) -> go.Scatter:
    """Build dots with their intervals, one in each row."""
    return go.Scatter(
        x=one["mean"].values,
        y=list(range(one["mean"].size)),
        mode="markers",
        orientation="h",
        name=escaped(name),
        legendgroup=name,
        showlegend=legend,
        marker={"color": color, "size": 8},
        error_x=error_bars(one["mean"], one["low"], one["high"]),
        hovertemplate="%{y}: %{x:.3f}",
    )


def _headed(figure: go.Figure, *, title: str, height: int) -> go.Figure:
    """Arrange from top to bottom: the title, the legend in a line, and the panels."""
    legend = {"orientation": "h", "x": 0.01, "xref": "container", "yref": "container"}
    return styled(figure, title=title, height=height).update_layout(
        margin_t=110,
        title={"y": 1 - 15 / height, "yanchor": "top"},
        legend={**legend, "y": 1 - 45 / height, "yanchor": "top"},
    )
