"""The look all figures share: colors, color scales, symbols, error bars, menus and sliders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from plotly.colors import qualitative

if TYPE_CHECKING:
    import plotly.graph_objects as go

FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"

INK = "#22303c"  # text and reference lines
ACCENT = "#c2416b"  # what a figure is about
MUTED = "#8a99a8"  # what it is compared with
BLUE, GREEN, OCHER = "#3b6ea5", "#4f8a5b", "#b07a2a"

BLOCK_COLORS = {"down": BLUE, "mid": "#c9a227", "up": ACCENT}
CONDITION_COLORS = (BLUE, GREEN, OCHER, "#7a4f9a", "#5a6470")
IMAGE_COLORS = {"rendered": MUTED, "generated": ACCENT}
ORDER_COLORS = {"MoRHF": ACCENT, "LeRHF": BLUE, "random": MUTED}
SPECIAL_TOKEN_COLORS = ("#d5dbe1", "#aab4be", "#7f8c99")
STATE_COLORS = (ACCENT, BLUE)
VECTOR_COLORS = (ACCENT, BLUE, MUTED, GREEN, OCHER)
WORD_COLORS = qualitative.Vivid

SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")

ATTENTION_SCALE = "Magma"
COSINE_SCALE = "Viridis"
RATE_SCALE = [[0, "#ffffff"], [1, ACCENT]]


def relevance_scale(highest: float) -> list[list[float | str]]:
    """Build a color scale that is white at a relevance of 1, the mean over heads.

    Parameters
    ----------
    highest : float
        Relevance at the upper end of the scale; the lower end is 0.
    """
    middle = min(1 / max(highest, 1.0001), 0.9999)
    return [[0.0, BLUE], [middle, "#ffffff"], [1.0, "#a3123a"]]


def faded(color: str) -> str:
    """Return a color, given as #rrggbb, nearly transparent."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"


def error_bars(
    mean: ArrayLike, low: ArrayLike, high: ArrayLike, color: str | None = None
) -> dict[str, Any]:
    """Build plotly's error bars from the ends of intervals.

    Parameters
    ----------
    mean, low, high : array_like of float, shape (n,)
    color : str, optional
        Default: the color of the markers.
    """
    middle, lowest, highest = (np.asarray(values) for values in (mean, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": highest - middle,
        "arrayminus": middle - lowest,
        "color": color,
        "thickness": 1.2,
    }


def styled(figure: go.Figure, *, title: str, height: int) -> go.Figure:
    """Apply the shared look to a figure, and return it.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    title : str
    height : int
        In pixels.
    """
    return figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.01, "xanchor": "left", "font": {"size": 16}},
        font={"family": FONT, "size": 13, "color": INK},
        height=height,
        margin={"l": 70, "r": 20, "t": 70, "b": 50},
    )


def escaped(text: str) -> str:
    """Escape markup, which plotly would interpret, in a user's text."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def add_menu(figure: go.Figure, labels: Sequence[str], active: int = 0) -> go.Figure:
    """Add a drop-down menu below the title that shows one trace at a time; return the figure.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    labels : sequence of str
        One for each trace.
    active : int
        Number of the trace that is visible at first.
    """
    buttons = [
        {
            "label": label,
            "method": "restyle",
            "args": [{"visible": [other == chosen for other in range(len(labels))]}],
        }
        for chosen, label in enumerate(labels)
    ]
    placed = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}
    # Beside the title there may be no room for it.
    return figure.update_layout(
        updatemenus=[{"buttons": buttons, "active": active, **placed}], margin_t=110
    )


def slider(names: Sequence[str], prefix: str, active: int) -> dict[str, object]:
    """Build a slider over a figure's frames.

    Parameters
    ----------
    names : sequence of str
        Of the frames, in order.
    prefix : str
        Shown before the name of the current frame.
    active : int
        Number of the frame that is shown at first.
    """
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
