"""Head Relevance Vectors as pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.style import ACCENT, QUIET, harmless, menu, relevance_scale, styled
from hrvlab.relevance.vectors import unstack_heads

PLACES = ("#3b6ea5", "#c9a227", "#c2416b")


def relevance_map(hrv: xr.DataArray) -> go.Figure:
    """Show a concept's relevance for every layer and head, the concept chosen from a menu.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
        With the coordinate ``halves``, the menu says how well halves of the prompts agree.
    """
    grid = unstack_heads(hrv)
    rows = [
        f"{place} {number}"
        for place, number in zip(grid["place"].values, grid["place_layer"].values, strict=True)
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
            name=concept,
            colorbar={"title": "relevance"},
            hovertemplate="%{y} · head %{x}<br>%{z:.2f}<extra>" + concept + "</extra>",
        )
    figure.update_xaxes(title="head", dtick=1 if grid.sizes["head"] < 12 else 5)
    figure.update_yaxes(autorange="reversed")
    labels = concepts
    if "halves" in hrv.coords:
        labels = [
            f"{concept} (halves agree: {float(half):.2f})"
            for concept, half in zip(concepts, hrv["halves"].values, strict=True)
        ]
    figure.update_layout(updatemenus=[menu(labels)])
    return styled(figure, title="Relevance of every head (1 is the mean)", height=520)


def top_heads(top: xr.Dataset) -> go.Figure:
    """Show the most relevant heads of a concept, the concept chosen from a menu.

    Parameters
    ----------
    top : xarray.Dataset, dims (concept, rank)
        From `hrvlab.relevance.uncertainty.leading_heads`, or `top_heads_with_interval` of the same
        module, which adds bars and shares.
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
            name=concept,
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
            **(_resampled(one) if "stability" in one else {}),
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(
        title="relevance, 95 % interval; inside: how often it is among these heads"
        if "stability" in top
        else "relevance"
    )
    figure.update_layout(updatemenus=[menu(concepts)], showlegend=False)
    return styled(figure, title=f"The {top.sizes['rank']} most relevant heads", height=420)


def _resampled(one: xr.Dataset) -> dict[str, object]:
    """Draw what resampled prompts say of one concept's heads."""
    mean, low, high = (one[name].values for name in ("relevance", "low", "high"))
    bars = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low}
    return {
        "error_x": {**bars, "thickness": 1.2},
        "text": [f"{stable:.0%}" for stable in one["stability"].values],
        "textposition": "inside",
        "insidetextanchor": "start",
    }


def vote_counts(hrv: xr.DataArray) -> go.Figure:
    """Show on how many votes each concept rests, and the share that chance would give.

    Parameters
    ----------
    hrv : xarray.DataArray
        With the coordinate ``votes (concept)``.
    """
    ordered = hrv["votes"].sortby(hrv["votes"])
    figure = go.Figure(
        go.Bar(
            x=ordered.values,
            y=[str(name) for name in ordered["concept"].values],
            orientation="h",
            marker_color=QUIET,
            hovertemplate="%{y}: %{x:,} votes<extra></extra>",
        )
    )
    figure.add_vline(float(ordered.mean()), line_dash="dot", line_color=ACCENT)
    figure.update_xaxes(title="votes (dotted: an equal share)")
    return styled(
        figure, title="How many votes each concept rests on", height=130 + 22 * len(ordered)
    )


def concept_matrix(similarity: xr.DataArray, *, title: str) -> go.Figure:
    """Show a square matrix of cosines.

    Parameters
    ----------
    similarity : xarray.DataArray, dims (row, column)
    title : str
    """
    rows, columns = (
        [str(value) for value in similarity[dim].values]
        if dim in similarity.coords
        else list(range(similarity.sizes[dim]))
        for dim in similarity.dims
    )
    figure = go.Figure(
        go.Heatmap(
            z=similarity.values,
            x=columns,
            y=rows,
            colorscale="Viridis",
            zmin=0,
            zmax=1,
            colorbar={"title": "cosine"},
            hovertemplate="%{y} × %{x}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    return styled(figure, title=title, height=640)


def reliability(correlation: xr.DataArray) -> go.Figure:
    """Show how well the two halves of the prompts agree about each concept.

    Parameters
    ----------
    correlation : xarray.DataArray, dim (concept)
    """
    ordered = correlation.sortby(correlation)
    figure = go.Figure(
        go.Scatter(
            x=ordered.values,
            y=[str(name) for name in ordered["concept"].values],
            mode="markers",
            marker={"size": 10, "color": ACCENT},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    figure.add_vline(0.9, line_dash="dot", line_color=QUIET)
    figure.update_xaxes(
        title="correlation between two halves of the prompts",
        range=[min(0, float(ordered.min())), 1.02],
    )
    return styled(figure, title="How reliable each vector is", height=130 + 22 * len(ordered))


def convergence_curves(agreement: xr.DataArray, *, of: str = "correlation") -> go.Figure:
    """Show how the agreement of two sets of prompts grows with their size.

    Parameters
    ----------
    agreement : xarray.DataArray, dims (prompts, concept)
        From `hrvlab.relevance.uncertainty.convergence`.
    of : str
        What kind of correlation it is.
    """
    figure = go.Figure()
    for concept in agreement["concept"].values:
        figure.add_scatter(
            x=agreement["prompts"].values,
            y=agreement.sel(concept=concept).values,
            name=str(concept),
            mode="lines+markers",
            hovertemplate="%{x} prompts: %{y:.3f}",
        )
    figure.add_hline(0.9, line_dash="dot", line_color=QUIET)
    figure.update_xaxes(title="prompts in each set", type="log", dtick="D1")
    figure.update_yaxes(title=of)
    return styled(figure, title="How many prompts are enough", height=480)


def place_bars(shares: Mapping[str, xr.DataArray]) -> go.Figure:
    """Show in which blocks each concept's relevance lies, a panel for each model.

    Parameters
    ----------
    shares : mapping of str to xarray.DataArray, dims (concept, place)
        Of each model, from `hrvlab.relevance.similarity.place_shares`.
    """
    panels = [harmless(model) for model in shares]
    figure = make_subplots(cols=len(panels), subplot_titles=panels, shared_yaxes=True)
    for column, share in enumerate(shares.values(), start=1):
        for place, color in zip(("down", "mid", "up"), PLACES, strict=True):
            figure.add_bar(
                x=share.sel(place=place).values,
                y=[str(name) for name in share["concept"].values],
                orientation="h",
                name=place,
                legendgroup=place,
                showlegend=column == 1,
                marker_color=color,
                hovertemplate="%{y}, " + place + ": %{x:.2f}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="share of relevance", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    rows = max(share.sizes["concept"] for share in shares.values())
    return styled(figure, title="Where concepts lie", height=160 + 22 * rows)


def concentration(shares: Mapping[str, xr.DataArray]) -> go.Figure:
    """Show which share of a model's heads holds half of each concept, for several models.

    Parameters
    ----------
    shares : mapping of str to xarray.DataArray, dim (concept)
        Of each model: `hrvlab.relevance.similarity.heads_for_half` over its head positions.
    """
    first = next(iter(shares.values()))
    concepts = first.sortby(first)["concept"]
    figure = go.Figure()
    for number, (model, share) in enumerate(shares.items()):
        figure.add_scatter(
            x=share.sel(concept=concepts).values,
            y=[str(name) for name in concepts.values],
            mode="markers",
            name=harmless(model),
            marker={"size": 10, "symbol": number, "color": QUIET if number else ACCENT},
            hovertemplate="%{y}: %{x:.1%}<extra>" + harmless(model) + "</extra>",
        )
    figure.update_xaxes(
        title="share of heads that holds half of the concept", tickformat=".0%", rangemode="tozero"
    )
    figure.update_yaxes(autorange="reversed")
    rows = first.sizes["concept"]
    return styled(figure, title="How concentrated concepts are", height=160 + 22 * rows)
