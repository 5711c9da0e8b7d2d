"""What becomes of a concept when heads are weakened."""

from __future__ import annotations

import plotly.graph_objects as go
import xarray as xr

from hrvlab.figures.style import ACCENT, INK, QUIET, faded, styled

COLORS = {"MoRHF": ACCENT, "LeRHF": "#3b6ea5", "random": QUIET}
MEANINGS = {
    "MoRHF": "most relevant heads first",
    "LeRHF": "least relevant heads first",
    "random": "random order",
}


def weakening_curves(summary: xr.Dataset, concept: str) -> go.Figure:
    """Show the score against the share of weakened heads, one band for each kind of order.

    Parameters
    ----------
    summary : xarray.Dataset, dims (kind, weakened)
        ``mean``, ``low`` and ``high`` with the coordinate ``share``.
    concept : str
    """
    figure = go.Figure()
    share = summary["share"].values
    for kind in (str(kind) for kind in summary["kind"].values):
        one = summary.sel(kind=kind)
        figure.add_scatter(
            x=[*share, *share[::-1]],
            y=[*one["high"].values, *one["low"].values[::-1]],
            fill="toself",
            fillcolor=faded(COLORS[kind]),
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=kind,
        )
        figure.add_scatter(
            x=share,
            y=one["mean"].values,
            mode="lines+markers",
            line={"color": COLORS[kind]},
            name=MEANINGS[kind],
            legendgroup=kind,
            hovertemplate="%{x:.0%} of heads: %{y:.3f}",
        )
    figure.update_xaxes(title="share of heads weakened", tickformat=".0%")
    figure.update_yaxes(title="score")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return styled(figure, title=f"{concept}: what is left of it", height=440)


def area_gaps(gaps: xr.Dataset) -> go.Figure:
    """Show the area gaps of every concept with their intervals.

    Parameters
    ----------
    gaps : xarray.Dataset, dims (concept, kind)
        ``mean``, ``low`` and ``high``; positive where the vector orders heads better.
    """
    figure = go.Figure()
    names = [str(name) for name in gaps["concept"].values]
    for kind in (str(kind) for kind in gaps["kind"].values):
        one = gaps.sel(kind=kind)
        label = f"against {MEANINGS[kind]}"
        figure.add_trace(_dots(one["mean"], one["low"], one["high"], names, COLORS[kind], label))
    figure.add_vline(0, line_color=INK, line_width=1)
    figure.update_xaxes(title="area gap, with 95 % interval")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return styled(figure, title="How much better than other orders", height=160 + 40 * len(names))


def causal_agreement(found: xr.Dataset) -> go.Figure:
    """Show how well vectors foretell what single heads do, for every concept.

    Parameters
    ----------
    found : xarray.Dataset, dims (concept, vector)
        ``correlation``, ``low`` and ``high``, and ``ceiling (concept)``: the most that any vector
        could be expected to reach.
    """
    figure = go.Figure()
    names = [str(name) for name in found["concept"].values]
    colors = (ACCENT, "#3b6ea5", "#4f8a5b", QUIET)
    for vector, color in zip(map(str, found["vector"].values), colors, strict=False):
        one = found.sel(vector=vector)
        figure.add_trace(_dots(one["correlation"], one["low"], one["high"], names, color, vector))
    figure.add_scatter(
        x=found["ceiling"].values,
        y=names,
        mode="markers",
        name="most to be expected",
        marker={"symbol": "line-ns-open", "size": 16, "color": INK},
        hovertemplate="%{y}: %{x:.2f}",
    )
    figure.add_vline(0, line_color=INK, line_width=1)
    figure.update_xaxes(title="rank correlation with each head's own effect, 95 % interval")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(
        scattermode="group", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    return styled(figure, title="Does a vector know what heads do?", height=160 + 60 * len(names))


def _dots(
    mean: xr.DataArray,
    low: xr.DataArray,
    high: xr.DataArray,
    rows: list[str],
    color: str,
    name: str,
) -> go.Scatter:
    """Dots with their intervals, one a row."""
    return go.Scatter(
        x=mean.values,
        y=rows,
        mode="markers",
        name=name,
        marker={"color": color, "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (high - mean).values,
            "arrayminus": (mean - low).values,
        },
        hovertemplate="%{y}: %{x:.3f}",
    )
