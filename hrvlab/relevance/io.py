"""Head Relevance Vectors on disk: as zarr stores, and in the published form."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hrvlab.errors import SchemaError, StoreError
from hrvlab.paths import user_path
from hrvlab.storage.atomic import storing, write_whole
from hrvlab.storage.datasets import read_dataset, write_dataset
from hrvlab.storage.locks import writing

if TYPE_CHECKING:
    from pathlib import Path


def save_relevance(hrv: xr.DataArray, path: str | Path) -> None:
    """Save Head Relevance Vectors as a zarr store, with their coordinates and attributes.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    path : str or Path
        A folder; vectors that were saved there before are replaced.

    Raises
    ------
    SchemaError
        If the array lacks dims or coordinates that vectors have.
    StoreError
        If the folder cannot be written, or holds anything but a zarr store.

    Examples
    --------
    >>> hl.save_relevance(hrv, store / "hrv.zarr")
    >>> hl.load_relevance(store / "hrv.zarr").equals(hrv)
    True
    """
    path, kept = user_path(path), "the vectors are in memory only, and what was there is kept"
    with storing(path, kept):
        if path.exists() and not (path / "zarr.json").is_file():
            raise StoreError(f"{path} exists and holds no dataset; choose another path")
    write_dataset(hrv.to_dataset(name="relevance").assign_attrs(hrv.attrs), path, kept)


def keep_relevance(hrv: xr.DataArray, path: Path) -> str:
    """Save Head Relevance Vectors beside their votes, unless they are there already.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    path : Path
        A folder, see `save_relevance`.

    Returns
    -------
    str
        What was done: ``"saved"``, ``"replaced"``, ``"there already"``, or ``"not saved, …"``.

    Raises
    ------
    StoreError
        If they cannot be saved for another reason.
    """
    there = path.exists()
    try:
        if there and load_relevance(path).identical(hrv):
            return "there already"
    except (StoreError, SchemaError):
        pass  # damaged, or of an older version
    if not os.access(path.parent, os.W_OK):
        return "not saved, for the folder cannot be written"
    with writing(path.parent):
        save_relevance(hrv, path)
    return "replaced" if there else "saved"


def load_relevance(path: str | Path) -> xr.DataArray:
    """Load Head Relevance Vectors that `save_relevance` saved.

    Parameters
    ----------
    path : str or Path
        The folder that they were saved to.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.

    Raises
    ------
    SchemaError
        If the store holds another kind of dataset.
    StoreError
        If there is no store, or it is damaged.

    Examples
    --------
    >>> hl.save_relevance(hrv, store / "hrv.zarr")
    >>> hl.load_relevance(store / "hrv.zarr").dims
    ('concept', 'head_position')
    """
    dataset = read_dataset(path)
    if (kind := dataset.attrs["schema"]) != "relevance":
        raise SchemaError(f"{path} holds a dataset of {kind}, not Head Relevance Vectors")
    return dataset["relevance"].assign_attrs(dataset.attrs)


def write_published(hrv: xr.DataArray, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Write vectors as ``category_vectors_{name}.npy`` and ``head_index_{name}.npy``.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position) or (timestep, concept, head_position)
    folder : str or Path
    name : str

    Returns
    -------
    vectors, head_index : Path
        `hrvlab.replication.arrays.read_published` reads them. Files of these names are replaced.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    folder = user_path(folder)
    vectors, head_index = (
        folder / f"{kind}_{name}.npy" for kind in ("category_vectors", "head_index")
    )
    ordered = hrv.transpose(..., "concept", "head_position").values.astype(np.float32)
    with storing(folder, "the vectors are in memory only"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, values in ((vectors, ordered), (head_index, hrv["label"].values.astype(np.str_))):
            content = io.BytesIO()
            np.save(content, values)
            write_whole(path, content.getvalue())
    return vectors, head_index
