"""Sample grids: many small images side by side, for monitoring the training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hrvlab.miniature.dataset import as_images

if TYPE_CHECKING:
    from torch import Tensor


def save_grid(pixels: Tensor, path: Path, *, columns: int) -> None:
    """Save images side by side as one PNG.

    Parameters
    ----------
    pixels : Tensor of float, shape (n, 3, y, x)
        In [−1, 1].
    path : Path
    columns : int
        Images in a row of the grid.
    """
    images = as_images(pixels)
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    grid = np.full((rows * (height + 2), columns * (width + 2), 3), 255, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (height + 2), index % columns * (width + 2)
        grid[y : y + height, x : x + width] = image
    Image.fromarray(grid).save(path)
