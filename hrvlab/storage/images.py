"""The images of a run, kept as PNG files beside its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from PIL import Image

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import storing

if TYPE_CHECKING:
    from hrvlab.typing import Images

FOLDER = "images"


def save_images(folder: Path, names: Sequence[str], images: Images) -> None:
    """Write images to the folder of a run.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        The file name of each image.
    images : ndarray of uint8, shape (image, y, x, channel)

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    with storing(folder, "finished units and their images are kept"):
        (folder / FOLDER).mkdir(exist_ok=True)
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(folder / FOLDER / name)


def read_images(folder: Path, names: xr.DataArray) -> Images:
    """Read images from the folder of a run.

    Parameters
    ----------
    folder : Path
    names : xarray.DataArray of str
        File names, from a result's variable ``image``.

    Returns
    -------
    ndarray of uint8, shape (image, y, x, channel)
        In the flattened order of the names.

    Raises
    ------
    StoreError
        If an image is missing or cannot be read.
    """
    try:
        return np.stack(
            [np.asarray(Image.open(folder / FOLDER / name)) for name in names.values.ravel()]
        )
    except OSError as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"cannot read an image of {folder}: {reason}; delete that run's folder and run it again"
        ) from error
