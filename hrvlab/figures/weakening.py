"""What becomes of a concept when heads are weakened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.style import ACCENT, INK, QUIET, faded, harmless, styled

COLORS = {"MoRHF": ACCENT, "LeRHF": "#3b6ea5", "random": QUIET}
MEANINGS = {
    "MoRHF": "most relevant heads first",
    "LeRHF": "least relevant heads first",
    "random": "random order",
}
VECTORS = (ACCENT, "#3b6ea5", QUIET, "#4f8a5b", "#b07a2a")
COLUMNS = 4


def weakening_curves(summary: xr.Dataset, *, title: str) -> go.Figure:
    """Show every concept's score against the share of weakened heads, with bands.

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
        subplot_titles=[harmless(name) for name in names],
        horizontal_spacing=0.05,
        vertical_spacing=0.3 / rows,
    )
    for index, concept in enumerate(names):
        row, column = divmod(index, columns)
        for trace in _curves(summary.sel(concept=concept), legend=index == 0):
            figure.add_trace(trace, row + 1, column + 1)
    figure.update_xaxes(tickformat=".0%").update_annotations(font_size=13)
    figure.update_xaxes(title="heads weakened", row=rows)
    figure.update_xaxes(title_font_size=12)
    return _headed(figure, title=harmless(title), height=150 + 220 * rows)


def area_gaps(gaps: xr.Dataset, *, panel: str, title: str) -> go.Figure:
    """Show area gaps with their intervals.

    Parameters
    ----------
    gaps : xarray.Dataset, dims ({panel}, concept or variant, kind)
        ``mean``, ``low`` and ``high``; positive where the vector orders heads better.
    panel : str
        Dim along which panels lie side by side.
    title : str
        Of the whole figure; that these are 95 % intervals is added.
    """
    kinds = [str(kind) for kind in gaps["kind"].values]
    return _panels(
        gaps,
        panel,
        {f"against {MEANINGS[kind]}": gaps.sel(kind=kind) for kind in kinds},
        [COLORS[kind] for kind in kinds],
        axis="area gap",
        title=f"{title}: area gap, 95 % interval",
    )


def causal_agreement(found: xr.Dataset) -> go.Figure:
    """Show how well vectors foretell what single heads do, one panel for each witness.

    Parameters
    ----------
    found : xarray.Dataset, dims (witness, concept, vector)
        ``correlation``, ``low`` and ``high``, and ``ceiling (witness, concept)``: the most that any
        vector could be expected to reach.
    """
    vectors = [str(vector) for vector in found["vector"].values]
    dots = found.rename(correlation="mean")
    figure = _panels(
        dots,
        "witness",
        {vector: dots.sel(vector=vector) for vector in vectors},
        VECTORS[: len(vectors)],
        axis="rank correlation",
        title="Does a vector know what heads do? Rank correlation, 95 % interval",
    )
    for number, witness in enumerate(found["witness"].values):
        ceiling = go.Scatter(
            x=found["ceiling"].sel(witness=witness).values,
            y=[str(name) for name in found["concept"].values],
            mode="markers",
            orientation="h",
            name="most to be expected",
            legendgroup="ceiling",
            showlegend=number == 0,
            marker={"symbol": "line-ns-open", "size": 16, "color": INK},
            hovertemplate="%{y}: %{x:.2f}",
        )
        figure.add_trace(ceiling, 1, number + 1)
    return figure


def _curves(one: xr.Dataset, *, legend: bool) -> Iterator[go.Scatter]:
    """Give a concept's band and curve for each kind of order."""
    share = one["share"].values
    for kind in (str(kind) for kind in one["kind"].values):
        mean, low, high = (one[name].sel(kind=kind).values for name in ("mean", "low", "high"))
        yield go.Scatter(
            x=[*share, *share[::-1]],
            y=[*high, *low[::-1]],
            fill="toself",
            fillcolor=faded(COLORS[kind]),
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
            line={"color": COLORS[kind]},
            marker={"size": 5},
            name=MEANINGS[kind],
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
    """Show dots with intervals, a panel for each entry of one dim and a row for each of another."""
    names = [str(name) for name in summary[panel].values]
    (along,) = set(next(iter(groups.values()))["mean"].dims) - {panel}
    rows = [str(name) for name in summary[along].values]
    figure = make_subplots(
        1,
        len(names),
        shared_yaxes=True,
        subplot_titles=[harmless(name) for name in names] if len(names) > 1 else None,
        horizontal_spacing=0.03,
    )
    for column, name in enumerate(names):
        for (label, group), color in zip(groups.items(), colors, strict=True):
            dots = _dots(group.sel({panel: name}), rows, color, label, legend=column == 0)
            figure.add_trace(dots, 1, column + 1)
    figure.add_vline(0, line_color=INK, line_width=1)
    figure.update_xaxes(title=axis, title_font_size=12).update_yaxes(autorange="reversed")
    figure.update_annotations(font_size=13).update_layout(scattermode="group")
    height = 190 + (10 + 12 * len(groups)) * len(rows)
    return _headed(figure, title=title, height=height).update_layout(margin_l=190)


def _dots(
    one: xr.Dataset, rows: Sequence[str], color: str, name: str, *, legend: bool
) -> go.Scatter:
    """Dots with their intervals, one a row."""
    return go.Scatter(
        x=one["mean"].values,
        y=list(rows),
        mode="markers",
        orientation="h",
        name=name,
        legendgroup=name,
        showlegend=legend,
        marker={"color": color, "size": 8},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (one["high"] - one["mean"]).values,
            "arrayminus": (one["mean"] - one["low"]).values,
            "thickness": 1.2,
        },
        hovertemplate="%{y}: %{x:.3f}",
    )


def _headed(figure: go.Figure, *, title: str, height: int) -> go.Figure:
    """Put the title, below it the legend in a line, and below that the panels."""
    legend = {"orientation": "h", "x": 0.01, "xref": "container", "yref": "container"}
    return styled(figure, title=title, height=height).update_layout(
        margin_t=110,
        title={"y": 1 - 15 / height, "yanchor": "top"},
        legend={**legend, "y": 1 - 45 / height, "yanchor": "top"},
    )
