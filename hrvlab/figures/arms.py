"""Several ways to draw the same, compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.style import ACCENT, INK, QUIET, harmless, styled

SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")
COLORS = ("#3b6ea5", "#4f8a5b", "#b07a2a", "#7a4f9a", "#5a6470")


def arm_rates(rates: xr.Dataset, *, subject: str, title: str, axis: str) -> go.Figure:
    """Show the rate of every arm with its interval.

    Parameters
    ----------
    rates : xarray.Dataset, dims (arm,) or (witness, arm)
        ``mean``, ``low`` and ``high``; of several witnesses, one lies above the other.
    subject : str
        The arm that the others are compared with; a line marks it.
    title, axis : str
    """
    names = [str(name) for name in rates["arm"].values]
    colors = [ACCENT if name == subject else QUIET for name in names]
    figure = go.Figure()
    for number, (witness, one) in enumerate(_by_witness(rates)):
        mean, low, high = (one[name].values for name in ("mean", "low", "high"))
        figure.add_scatter(
            x=mean,
            y=names,
            mode="markers",
            name=witness,
            showlegend="witness" in rates.dims,
            marker={"color": colors, "size": 11, "symbol": SYMBOLS[number]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": high - mean,
                "arrayminus": mean - low,
                "color": INK,
                "thickness": 1.2,
            },
            hovertemplate="%{y}: %{x:.0%}<extra>%{fullData.name}</extra>",
        )
        marked = float(one["mean"].sel(arm=subject))
        figure.add_vline(marked, line_color=ACCENT, line_dash="dot", line_width=1)
    figure.update_xaxes(title=f"{axis}, with 95 % interval", range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(
        scattermode="group", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    return styled(figure, title=title, height=150 + 42 * len(names)).update_layout(
        margin={"l": 190}
    )


def arm_matrix(rates: xr.DataArray, *, title: str) -> go.Figure:
    """Show the rate of every case in every arm.

    Parameters
    ----------
    rates : xarray.DataArray, dims (arm, prompt)
        With the coordinate ``prompt_text``.
    title : str
    """
    values = rates.transpose("prompt", "arm")
    prompts = [str(text) for text in values["prompt_text"].values]
    arms = [str(arm) for arm in values["arm"].values]
    return _matrix(values.values, prompts, arms, title=title)


def setting_matrix(rates: xr.DataArray, *, title: str) -> go.Figure:
    """Show the rate of every arm in every case, where there are more arms than cases.

    Parameters
    ----------
    rates : xarray.DataArray, dims (arm, case)
        With labels along both.
    title : str
    """
    values = rates.transpose("arm", "case")
    arms, cases = ([str(name) for name in values[dim].values] for dim in ("arm", "case"))
    return _matrix(values.values, arms, cases, title=title)


def _matrix(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, title: str
) -> go.Figure:
    names = [harmless(text) for text in rows]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=[harmless(text) for text in columns],
            zmin=0,
            zmax=1,
            colorscale=[[0, "#ffffff"], [1, ACCENT]],
            showscale=False,
            texttemplate="%{z:.0%}",
            xgap=2,
            ygap=2,
            customdata=[[text] * len(columns) for text in names],
            hovertemplate="%{customdata}, %{x}: %{z:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(side="top")
    figure.update_yaxes(autorange="reversed", tickvals=list(range(len(names))), ticktext=names)
    return styled(figure, title=title, height=190 + 30 * len(names)).update_layout(
        margin={"l": 190, "t": 140}
    )


def trade_off(
    across: xr.Dataset,
    up: xr.Dataset,
    *,
    title: str,
    axes: tuple[str, str],
    path: Sequence[str] = (),
) -> go.Figure:
    """Show every arm as a point in two measures, each with its interval.

    Parameters
    ----------
    across, up : xarray.Dataset, dims (arm,) or (witness, arm)
        ``mean``, ``low`` and ``high``; of several witnesses, each has a panel.
    title : str
    axes : tuple of str
        Titles of the two.
    path : sequence of str
        Arms that a line joins, such as one method at growing strengths.
    """
    panels = _by_witness(up)
    figure = make_subplots(
        1,
        len(panels),
        subplot_titles=[harmless(witness) for witness, _ in panels],
        horizontal_spacing=0.09,
    )
    for panel, (witness, ups) in enumerate(panels, start=1):
        acrosses = across.sel(witness=witness) if "witness" in across.dims else across
        if path:
            figure.add_scatter(
                x=acrosses["mean"].sel(arm=list(path)).values,
                y=ups["mean"].sel(arm=list(path)).values,
                mode="lines",
                line={"color": ACCENT, "width": 1, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
                row=1,
                col=panel,
            )
        for number, arm in enumerate(str(arm) for arm in ups["arm"].values):
            x, y = acrosses.sel(arm=arm), ups.sel(arm=arm)
            figure.add_scatter(
                x=[float(x["mean"])],
                y=[float(y["mean"])],
                error_x=_bars(x),
                error_y=_bars(y),
                mode="markers",
                name=arm,
                legendgroup=arm,
                showlegend=panel == 1,
                marker={
                    "size": 11,
                    "symbol": SYMBOLS[number % len(SYMBOLS)],
                    "color": ACCENT if arm in path else COLORS[number % len(COLORS)],
                },
                hovertemplate="%{x:.3f}, %{y:.3f}",
                row=1,
                col=panel,
            )
        figure.update_xaxes(title=axes[0], row=1, col=panel)
    figure.update_yaxes(title=axes[1], row=1, col=1)
    return styled(figure, title=harmless(title), height=480)


def word_positions(found: xr.Dataset, *, title: str) -> go.Figure:
    """Show where words lie between two concepts, as their text states have it.

    Parameters
    ----------
    found : xarray.Dataset, dims (state, prompt)
        From `hrvlab.experiments.word_states.read_states`.
    title : str
    """
    pairs = zip(found["prompt_text"].values, found["wanted"].values, strict=True)
    rows = [harmless(f"{prompt}: {wanted}") for prompt, wanted in pairs]
    figure = go.Figure()
    for number, state in enumerate(str(state) for state in found["state"].values):
        one = found.sel(state=state)
        figure.add_scatter(
            x=one["position"].values,
            y=rows,
            mode="markers",
            name=f"{state} token",
            marker={"size": 11, "symbol": SYMBOLS[number], "color": (ACCENT, COLORS[0])[number]},
            customdata=one["accuracy"].values,
            hovertemplate="%{y}: %{x:.2f}<br>concept words told apart: %{customdata:.0%}",
        )
    for value in (-1, 1):
        figure.add_vline(value, line_color=INK, line_width=1)
    figure.add_vline(0, line_color=QUIET, line_dash="dot")
    figure.update_xaxes(title="−1: as the unwanted concept’s words; 1: as the wanted one’s")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    return styled(figure, title=title, height=190 + 30 * len(rows)).update_layout(margin={"l": 240})


def _by_witness(rates: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    if "witness" not in rates.dims:
        return [("", rates)]
    return [(str(name), rates.sel(witness=name)) for name in rates["witness"].values]


def _bars(one: xr.Dataset) -> dict[str, object]:
    mean, low, high = (float(one[name]) for name in ("mean", "low", "high"))
    bars = {"array": [high - mean], "arrayminus": [mean - low]}
    return {"type": "data", "symmetric": False, "thickness": 1, **bars}
