"""Sheets of many small pictures, to look at while training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from hrvlab.miniature.pictures import as_images


def save_sheet(pixels: Tensor, path: Path, *, columns: int) -> None:
    """Save pictures (n, 3, y, x) in [−1, 1] side by side as one PNG."""
    images = as_images(pixels)
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 2), columns * (width + 2), 3), 255, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (height + 2), index % columns * (width + 2)
        sheet[y : y + height, x : x + width] = image
    Image.fromarray(sheet).save(path)
