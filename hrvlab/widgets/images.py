"""Images in widgets: enlarged pixel by pixel, with their aspect ratio."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import ipywidgets


def show_image(widget: ipywidgets.Image, image: NDArray[np.uint8], side: int) -> None:
    """Show an image in a widget, its longer side of a given length.

    Parameters
    ----------
    widget : ipywidgets.Image
        Of the format PNG.
    image : ndarray of uint8, shape (y, x, channel)
    side : int
        In pixels.
    """
    longer = max(image.shape[:2])
    height, width = (max(1, round(length * side / longer)) for length in image.shape[:2])
    buffer = BytesIO()
    Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST).save(buffer, "png")
    widget.width, widget.height = str(width), str(height)
    widget.value = buffer.getvalue()
