"""Head Relevance Vectors: their values, split-half correlations and similarities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.style import (
    ACCENT,
    BLOCK_COLORS,
    COSINE_SCALE,
    MUTED,
    SYMBOLS,
    add_menu,
    error_bars,
    escaped,
    name_positions,
    relevance_scale,
    styled,
)
from hrvlab.relevance.vectors import unstack_heads


def relevance_map(hrv: xr.DataArray) -> go.Figure:
    """Plot the relevance of every layer and head to a concept, the concept chosen from a menu.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
        With the coordinate ``split_half (concept)``, the menu shows the correlation between halves
        of the prompts beside each concept.
    """
    grid = unstack_heads(hrv)
    rows = [
        f"{block} {number}"
        for block, number in zip(grid["block"].values, grid["block_layer"].values, strict=True)
    ]
    concepts = [str(name) for name in grid["concept"].values]
    figure = go.Figure()
    for index, concept in enumerate(concepts):
        values = grid.isel(concept=index).values
        figure.add_heatmap(
            z=values,
            y=rows,
            colorscale=relevance_scale(float(np.nanmax(values))),
            zmin=0,
            xgap=1,
            ygap=1,
            visible=index == 0,
            name=escaped(concept),
            colorbar={"title": "relevance"},
            hovertemplate="%{y} · head %{x}<br>%{z:.2f}<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(title="head", dtick=1 if grid.sizes["head"] < 12 else 5)
    figure.update_yaxes(type="category", autorange="reversed")
    labels = concepts
    if "split_half" in hrv.coords:
        labels = [
            f"{concept} (split-half correlation: {float(correlation):.2f})"
            for concept, correlation in zip(concepts, hrv["split_half"].values, strict=True)
        ]
    styled(figure, title="Relevance of every head (1: mean over heads)", height=560)
    return add_menu(figure, labels)


def top_heads(top: xr.Dataset) -> go.Figure:
    """Plot the relevance of the heads most relevant to a concept, chosen from a menu.

    Parameters
    ----------
    top : xarray.Dataset, dims (concept, rank)
        From `hrvlab.relevance.uncertainty.leading_heads`, or from `top_heads_with_interval` of the
        same module, which adds intervals and stabilities.
    """
    concepts = [str(name) for name in top["concept"].values]
    figure = go.Figure()
    for index, concept in enumerate(concepts):
        one = top.isel(concept=index)
        figure.add_bar(
            x=one["relevance"].values,
            y=[
                str(label).replace(", layer: ", " ").replace(", head: ", " · head ")
                for label in one["label"].values
            ],
            orientation="h",
            marker_color=ACCENT,
            visible=index == 0,
            name=escaped(concept),
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
            **(_resampled(one) if "stability" in one else {}),
        )
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_xaxes(
        title="relevance, 95 % interval; in the bar: share of resamples with the head in this list"
        if "stability" in top
        else "relevance"
    )
    figure.update_layout(showlegend=False)
    styled(figure, title=f"The {top.sizes['rank']} most relevant heads", height=460)
    return add_menu(figure, concepts)


def _resampled(one: xr.Dataset) -> dict[str, object]:
    """Return the properties of bars that show how relevance varies when prompts are resampled."""
    return {
        "error_x": error_bars(one["relevance"], one["low"], one["high"]),
        "text": [f"{stable:.0%}" for stable in one["stability"].values],
        "textposition": "inside",
        "insidetextanchor": "start",
    }


def vote_counts(hrv: xr.DataArray) -> go.Figure:
    """Plot the number of votes for each concept, and the number if all concepts got as many.

    Parameters
    ----------
    hrv : xarray.DataArray
        With the coordinate ``votes (concept)``.
    """
    ordered = hrv["votes"].sortby(hrv["votes"])
    figure = go.Figure(
        go.Bar(
            x=ordered.values,
            y=list(range(ordered.size)),
            orientation="h",
            marker_color=MUTED,
            hovertemplate="%{y}: %{x:,} votes<extra></extra>",
        )
    )
    figure.add_vline(float(ordered.mean()), line_dash="dot", line_color=ACCENT)
    figure.update_xaxes(title="votes (dotted: mean over concepts)")
    figure.update_yaxes(name_positions(ordered["concept"].values))
    return styled(figure, title="Votes for each concept", height=130 + 22 * len(ordered))


def concept_matrix(similarity: xr.DataArray, *, title: str) -> go.Figure:
    """Plot a square matrix of cosines.

    Parameters
    ----------
    similarity : xarray.DataArray, dims (row, column)
    title : str
    """
    figure = go.Figure(
        go.Heatmap(
            z=similarity.values,
            colorscale=COSINE_SCALE,
            zmin=0,
            zmax=1,
            colorbar={"title": "cosine"},
            hovertemplate="%{y} × %{x}: %{z:.2f}<extra></extra>",
        )
    )
    rows, columns = similarity.dims
    figure.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    if rows in similarity.coords:
        figure.update_yaxes(name_positions(similarity[rows].values, downward=True))
    if columns in similarity.coords:
        figure.update_xaxes(name_positions(similarity[columns].values))
    return styled(figure, title=title, height=640)


def reliability(correlation: xr.DataArray) -> go.Figure:
    """Plot the split-half correlation of each concept's vector.

    Parameters
    ----------
    correlation : xarray.DataArray, dim (concept)
        From `hrvlab.relevance.similarity.split_half_correlation`.
    """
    ordered = correlation.sortby(correlation)
    figure = go.Figure(
        go.Scatter(
            x=ordered.values,
            y=list(range(ordered.size)),
            mode="markers",
            marker={"size": 10, "color": ACCENT},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    figure.add_vline(0.9, line_dash="dot", line_color=MUTED)
    figure.update_xaxes(
        title="correlation between vectors from two halves of the prompts",
        range=[min(0, float(ordered.min())), 1.02],
    )
    figure.update_yaxes(name_positions(ordered["concept"].values))
    return styled(
        figure, title="Split-half correlation of each vector", height=130 + 22 * len(ordered)
    )


def convergence_curves(agreement: xr.DataArray, *, of: str = "correlation") -> go.Figure:
    """Plot how well vectors from two disjoint sets of prompts agree, for growing sets.

    Parameters
    ----------
    agreement : xarray.DataArray, dims (prompts, concept)
        From `hrvlab.relevance.uncertainty.convergence`.
    of : str
        Title of the axis: the kind of correlation.
    """
    figure = go.Figure()
    for index, concept in enumerate(agreement["concept"].values):
        figure.add_scatter(
            x=agreement["prompts"].values,
            y=agreement.isel(concept=index).values,
            name=escaped(concept),
            mode="lines+markers",
            hovertemplate="%{x} prompts: %{y:.3f}",
        )
    figure.add_hline(0.9, line_dash="dot", line_color=MUTED)
    figure.update_xaxes(title="prompts in each set", type="log", dtick="D1")
    figure.update_yaxes(title=escaped(of))
    return styled(figure, title="Agreement of vectors from two sets of prompts", height=480)


def block_bars(shares: Mapping[str, xr.DataArray]) -> go.Figure:
    """Plot the share of each concept's relevance in every block, with a panel for each model.

    Parameters
    ----------
    shares : mapping of str to xarray.DataArray, dims (concept, block)
        For each model, from `hrvlab.relevance.similarity.block_shares`.
    """
    panels = [escaped(model) for model in shares]
    concepts = list(
        dict.fromkeys(name for each in shares.values() for name in each["concept"].values)
    )
    figure = make_subplots(cols=len(panels), subplot_titles=panels, shared_yaxes=True)
    for column, share in enumerate(shares.values(), start=1):
        for block, color in BLOCK_COLORS.items():
            figure.add_bar(
                x=share.sel(block=block).values,
                y=[concepts.index(name) for name in share["concept"].values],
                orientation="h",
                name=block,
                legendgroup=block,
                showlegend=column == 1,
                marker_color=color,
                hovertemplate="%{y}, " + block + ": %{x:.2f}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="share of relevance", range=[0, 1])
    figure.update_yaxes(name_positions(concepts, downward=True))
    return styled(figure, title="Relevance by block", height=160 + 22 * len(concepts))


def concentration(shares: Mapping[str, xr.DataArray]) -> go.Figure:
    """Plot the smallest share of heads that holds half of a concept's relevance.

    Parameters
    ----------
    shares : mapping of str to xarray.DataArray, dim (concept)
        For each model, `hrvlab.relevance.similarity.heads_for_half` divided by the number of its
        head positions.
    """
    first = next(iter(shares.values()))
    concepts = first.sortby(first)["concept"]
    figure = go.Figure()
    for number, (model, share) in enumerate(shares.items()):
        figure.add_scatter(
            x=share.sel(concept=concepts).values,
            y=list(range(concepts.size)),
            mode="markers",
            name=escaped(model),
            marker={
                "size": 10,
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "color": MUTED if number else ACCENT,
            },
            hovertemplate="%{y}: %{x:.1%}<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(
        title="share of heads that holds half of the relevance",
        tickformat=".0%",
        rangemode="tozero",
    )
    figure.update_yaxes(name_positions(concepts.values, downward=True))
    rows = first.sizes["concept"]
    return styled(figure, title="Concentration of concepts in few heads", height=160 + 22 * rows)
