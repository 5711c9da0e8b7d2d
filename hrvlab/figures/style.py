"""The look all figures share, and the controls that work in a static page."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

INK = "#22303c"
ACCENT = "#c2416b"
QUIET = "#8a99a8"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
ATTENTION = "Magma"


def styled(figure: go.Figure, *, title: str, height: int) -> go.Figure:
    """Give a figure the shared look."""
    return figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.01, "xanchor": "left", "font": {"size": 16}},
        font={"family": FONT, "size": 13, "color": INK},
        height=height,
        margin={"l": 70, "r": 20, "t": 70, "b": 50},
    )


def relevance_scale(highest: float) -> list[list[float | str]]:
    """Colours with white at a relevance of 1, the mean over heads."""
    middle = min(1 / max(highest, 1.0001), 0.9999)
    return [[0.0, "#3b6ea5"], [middle, "#ffffff"], [1.0, "#a3123a"]]


def menu(labels: Sequence[str], traces_each: int = 1) -> dict[str, object]:
    """Make a drop-down that shows one group of traces at a time; the first is shown at first.

    Parameters
    ----------
    labels : sequence of str
    traces_each : int
        How many consecutive traces belong to each label.
    """
    count = len(labels)
    buttons = [
        {
            "label": label,
            "method": "restyle",
            "args": [{"visible": [i // traces_each == chosen for i in range(count * traces_each)]}],
        }
        for chosen, label in enumerate(labels)
    ]
    return {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}


def slider(names: Sequence[str], prefix: str) -> dict[str, object]:
    """Make a slider over a figure's frames."""
    steps = [
        {
            "label": name,
            "method": "animate",
            "args": [[name], {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}],
        }
        for name in names
    ]
    return {"steps": steps, "currentvalue": {"prefix": prefix}, "pad": {"t": 30}}
