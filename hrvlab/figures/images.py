"""Images side by side."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from plotly.subplots import make_subplots

from hrvlab.figures.style import escaped, styled

if TYPE_CHECKING:
    from hrvlab.typing import Images


WITHHELD = "withheld by the<br>safety checker"


def image_grid(
    images: Images,
    captions: Sequence[str],
    *,
    title: str,
    columns: int = 6,
    withheld: ArrayLike | None = None,
) -> go.Figure:
    """Show images with their captions.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, y, x, channel)
    captions : sequence of str
        One for each image.
    title : str
    columns : int
        Maximum number of images per row.
    withheld : array_like of bool, shape (image,), optional
        Which images a safety checker replaced by black ones; they are marked.
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
    _fill(figure, images, columns, withheld)
    figure.update_annotations(font_size=11)
    return styled(figure, title=title, height=90 + 165 * rows).update_layout(
        margin={"l": 10, "r": 10, "t": 90, "b": 10}
    )


def image_table(
    images: Images,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    withheld: ArrayLike | None = None,
) -> go.Figure:
    """Show images in labeled rows and columns.

    Parameters
    ----------
    images : ndarray of uint8, shape (row × column, y, x, channel)
        Row by row.
    rows, columns : sequence of str
        Their labels.
    title : str
    withheld : array_like of bool, shape (row × column,), optional
        Which images a safety checker replaced by black ones; they are marked.
    """
    figure = make_subplots(
        len(rows),
        len(columns),
        column_titles=[escaped(text) for text in columns],
        row_titles=[escaped(text) for text in rows],
        horizontal_spacing=0.008,
        vertical_spacing=0.02,
    )
    _fill(figure, images, len(columns), withheld)
    return styled(figure, title=title, height=110 + 110 * len(rows))


def mark_withheld(figure: go.Figure, image: NDArray[np.uint8], row: int, column: int) -> None:
    """Write over an image of a figure that a safety checker withheld it.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
    image : ndarray of uint8, shape (y, x, channel)
    row, column : int
        Of its subplot, from 1.
    """
    height, width = image.shape[:2]
    figure.add_annotation(
        text=WITHHELD,
        x=width / 2,
        y=height / 2,
        row=row,
        col=column,
        showarrow=False,
        font={"color": "#ffffff", "size": 11},
    )


def _fill(figure: go.Figure, images: Images, columns: int, withheld: ArrayLike | None) -> None:
    """Show images in a figure's subplots, row by row."""
    marked = np.zeros(len(images), bool) if withheld is None else np.ravel(withheld)
    for index, (image, mark) in enumerate(zip(images, marked, strict=True)):
        row, column = divmod(index, columns)
        figure.add_trace(_trace(image), row + 1, column + 1)
        if mark:
            mark_withheld(figure, image, row + 1, column + 1)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)


def _trace(image: NDArray[np.uint8]) -> go.Image:
    """Encode an image as PNG, which takes a fraction of the space that numbers would."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "png")
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    return go.Image(source=source, hoverinfo="skip")


def _wrapped(text: str, width: int = 20) -> str:
    """Break a caption into lines, with its markup escaped."""
    lines = [""]
    for word in escaped(text).split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)
