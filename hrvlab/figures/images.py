"""Pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hrvlab.figures.style import styled
from hrvlab.typing import Images


def image_grid(
    images: Images, captions: Sequence[str], *, title: str, columns: int = 6
) -> go.Figure:
    """Show images with their captions.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, y, x, channel)
    captions : sequence of str
        One for each image.
    title : str
    columns : int
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[_wrapped(text) for text in captions],
        horizontal_spacing=0.01,
        vertical_spacing=0.28 / rows,
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        figure.add_trace(go.Image(z=image, hoverinfo="skip"), row + 1, column + 1)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_annotations(font_size=11)
    return styled(figure, title=title, height=90 + 165 * rows).update_layout(
        margin={"l": 10, "r": 10, "t": 90, "b": 10}
    )


def _wrapped(text: str, width: int = 24) -> str:
    """Break a caption into lines, markup in it made harmless."""
    lines = [""]
    for word in text.replace("&", "&amp;").replace("<", "&lt;").split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)
