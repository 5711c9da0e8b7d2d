"""A finished run: its dataset, and the folder that keeps its units and images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from hrvlab.errors import StoreError
from hrvlab.storage.images import read_images

if TYPE_CHECKING:
    from hrvlab.typing import Images


@dataclass(frozen=True)
class Run:
    """The result of a computation, and the folder with what it was made of.

    Parameters
    ----------
    data : xarray.Dataset
    folder : Path, optional
        The folder of the plan, finished units and images; None if nothing was stored.
    """

    data: xr.Dataset
    folder: Path | None = None

    def images(self, names: xr.DataArray) -> Images:
        """Read images of the run.

        Parameters
        ----------
        names : xarray.DataArray of str
            From ``data["image"]``.

        Returns
        -------
        ndarray of uint8, shape (image, y, x, channel)
            In the flattened order of the names.

        Raises
        ------
        StoreError
            If nothing was stored, or an image is missing.
        """
        return read_images(self.stored(), names)

    def stored(self) -> Path:
        """Return the run's folder.

        Raises
        ------
        StoreError
            If nothing was stored.
        """
        if self.folder is None:
            raise StoreError("this run was not stored; run it again with a store")
        return self.folder
