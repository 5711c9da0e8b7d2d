"""Pictures kept as PNG beside a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from hrvlab.errors import StoreError
from hrvlab.store import storing
from hrvlab.typing import Images

FOLDER = "images"


def keep_images(run: Path, names: Sequence[str], images: Images) -> None:
    """Write pictures into a run folder.

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    with storing(run):
        (run / FOLDER).mkdir(exist_ok=True)
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(run / FOLDER / name)


def read_images(result: xr.Dataset, names: xr.DataArray) -> Images:
    """Read pictures of a stored result.

    Parameters
    ----------
    result : xarray.Dataset
        As a sweep with a store gives it.
    names : xarray.DataArray of str
        Some of its ``image``.

    Returns
    -------
    ndarray of uint8, shape (image, y, x, channel)
        In the order of the names, flattened.

    Raises
    ------
    StoreError
        If the result was not stored, or a picture is missing.
    """
    if "source" not in result.encoding:
        raise StoreError("this result keeps no pictures; run the sweep with a store")
    folder = Path(result.encoding["source"]).parent / FOLDER
    try:
        return np.stack([np.asarray(Image.open(folder / name)) for name in names.values.ravel()])
    except OSError as error:
        raise StoreError(f"a picture of {folder} cannot be read: {error}") from error
