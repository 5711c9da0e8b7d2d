"""Several ways to draw the same, compared."""

from __future__ import annotations

import plotly.graph_objects as go
import xarray as xr

from hrvlab.figures.style import ACCENT, INK, QUIET, harmless, styled

SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")


def arm_rates(rates: xr.Dataset, *, subject: str, title: str, axis: str) -> go.Figure:
    """Show the rate of every arm with its interval.

    Parameters
    ----------
    rates : xarray.Dataset, dims (arm,)
        ``mean``, ``low`` and ``high``.
    subject : str
        The arm that the others are compared with; a line marks it.
    title, axis : str
    """
    names = [str(name) for name in rates["arm"].values]
    mean, low, high = (rates[name].values for name in ("mean", "low", "high"))
    figure = go.Figure(
        go.Scatter(
            x=mean,
            y=names,
            mode="markers",
            marker={"color": [ACCENT if n == subject else QUIET for n in names], "size": 11},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": high - mean,
                "arrayminus": mean - low,
                "color": INK,
                "thickness": 1.2,
            },
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
    )
    figure.add_vline(float(rates["mean"].sel(arm=subject)), line_color=ACCENT, line_dash="dot")
    figure.update_xaxes(title=f"{axis}, with 95 % interval", range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, title=title, height=150 + 42 * len(names)).update_layout(
        margin={"l": 130}
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
    prompts = [harmless(str(text)) for text in values["prompt_text"].values]
    figure = go.Figure(
        go.Heatmap(
            z=values.values,
            x=[str(arm) for arm in values["arm"].values],
            zmin=0,
            zmax=1,
            colorscale=[[0, "#ffffff"], [1, ACCENT]],
            showscale=False,
            texttemplate="%{z:.0%}",
            xgap=2,
            ygap=2,
            customdata=[[text] * values.sizes["arm"] for text in prompts],
            hovertemplate="%{customdata}, %{x}: %{z:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(side="top")
    rows = list(range(len(prompts)))
    figure.update_yaxes(autorange="reversed", tickvals=rows, ticktext=prompts)
    return styled(figure, title=title, height=190 + 30 * len(prompts)).update_layout(
        margin={"l": 190, "t": 140}
    )


def trade_off(
    across: xr.Dataset, up: xr.Dataset, *, title: str, axes: tuple[str, str]
) -> go.Figure:
    """Show every arm as a point in two measures, each with its interval.

    Parameters
    ----------
    across, up : xarray.Dataset, dims (arm,)
        ``mean``, ``low`` and ``high``.
    title : str
    axes : tuple of str
        Titles of the two.
    """
    figure = go.Figure()
    for number, arm in enumerate(str(arm) for arm in up["arm"].values):
        x, y = across.sel(arm=arm), up.sel(arm=arm)
        figure.add_scatter(
            x=[float(x["mean"])],
            y=[float(y["mean"])],
            error_x=_bars(x),
            error_y=_bars(y),
            mode="markers",
            name=arm,
            marker={"size": 11, "symbol": SYMBOLS[number % len(SYMBOLS)]},
            hovertemplate="%{x:.3f}, %{y:.3f}",
        )
    figure.update_xaxes(title=axes[0]).update_yaxes(title=axes[1])
    return styled(figure, title=harmless(title), height=480)


def _bars(one: xr.Dataset) -> dict[str, object]:
    mean, low, high = (float(one[name]) for name in ("mean", "low", "high"))
    bars = {"array": [high - mean], "arrayminus": [mean - low]}
    return {"type": "data", "symmetric": False, "thickness": 1, **bars}
