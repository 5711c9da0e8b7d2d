"""The look all figures share, and the controls that work in a static page."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

INK = "#22303c"
ACCENT = "#c2416b"
QUIET = "#8a99a8"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
ATTENTION = "Magma"
GREYS = ("#d5dbe1", "#aab4be", "#7f8c99")


def styled(figure: go.Figure, *, title: str, height: int) -> go.Figure:
    """Give a figure the shared look."""
    return figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.01, "xanchor": "left", "font": {"size": 16}},
        font={"family": FONT, "size": 13, "color": INK},
        height=height,
        margin={"l": 70, "r": 20, "t": 70, "b": 50},
    )


def harmless(text: str) -> str:
    """Keep markup in a user's text from being obeyed."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def faded(color: str) -> str:
    """Make a colour, given as #rrggbb, nearly transparent."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"


def relevance_scale(highest: float) -> list[list[float | str]]:
    """Colours with white at a relevance of 1, the mean over heads."""
    middle = min(1 / max(highest, 1.0001), 0.9999)
    return [[0.0, "#3b6ea5"], [middle, "#ffffff"], [1.0, "#a3123a"]]


def menu(labels: Sequence[str], active: int = 0) -> dict[str, object]:
    """Make a drop-down that shows one trace at a time.

    Parameters
    ----------
    labels : sequence of str
        One for each trace.
    active : int
        The one that is visible at first.
    """
    buttons = [
        {
            "label": label,
            "method": "restyle",
            "args": [{"visible": [other == chosen for other in range(len(labels))]}],
        }
        for chosen, label in enumerate(labels)
    ]
    return {
        "buttons": buttons,
        "active": active,
        **{"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
    }


def slider(names: Sequence[str], prefix: str, active: int) -> dict[str, object]:
    """Make a slider over a figure's frames, standing at first at the active one."""
    steps = [
        {
            "label": name,
            "method": "animate",
            "args": [[name], {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}],
        }
        for name in names
    ]
    return {
        "steps": steps,
        "active": active,
        "currentvalue": {"prefix": prefix},
        "pad": {"t": 30},
    }
