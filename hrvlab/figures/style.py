"""The look all figures share: colors, color scales, symbols, error bars, menus and sliders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

# What plotly interprets in texts, and the entities that it shows instead; "&" comes first.
MARKS = {"&": "&amp;", "<": "&lt;", "$": "&#36;", "%{": "&#37;{"}

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
        It is escaped here.
    height : int
        In pixels.
    """
    return figure.update_layout(
        template="plotly_white",
        title={"text": escaped(title), "x": 0.01, "xanchor": "left", "font": {"size": 16}},
        hoverlabel={"namelength": -1},
        font={"family": FONT, "size": 13, "color": INK},
        height=height,
        margin={"l": 70, "r": 20, "t": 70, "b": 50},
    )


def escaped(text: object) -> str:
    """Escape a user's text, so that plotly shows it as it is.

    Plotly interprets markup and entities, TeX between dollar signs, and ``%{`` in hover texts.
    Every text that is not part of this package goes through this function once.

    Parameters
    ----------
    text : object
        Of which the text is taken.
    """
    shown = str(text)
    for mark, entity in MARKS.items():
        shown = shown.replace(mark, entity)
    return shown


def name_positions(names: Iterable[object], *, downward: bool = False) -> dict[str, Any]:
    """Build the properties of an axis that has names at the positions 0, 1, 2, ….

    On an axis of the names themselves, plotly would merge equal ones, and read numbers and dates.

    Parameters
    ----------
    names : iterable
        Texts of the user's; they are escaped here.
    downward : bool
        Whether the first name is at the top.
    """
    shown = [escaped(name) for name in names]
    ends = [-0.5, len(shown) - 0.5]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(shown))),
        "ticktext": shown,
        "range": ends[::-1] if downward else ends,
        "ticklabeloverflow": "allow",  # a long last name would be hidden
        "zeroline": False,
    }


def add_menu(figure: go.Figure, labels: Sequence[str], active: int = 0) -> go.Figure:
    """Add a drop-down menu below the title that shows one trace at a time; return the figure.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    labels : sequence of str
        One for each trace; they are escaped here.
    active : int
        Number of the trace that is visible at first.
    """
    buttons = [
        {
            "label": escaped(label),
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
