"""Datasets on disk: zarr stores that are written atomically and checked when they are read."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import storing
from hrvlab.storage.schema import validate
from hrvlab.storage.versions import ATTRIBUTE, VERSION, upgrade

DIGEST = "digest"
PIECE_BYTES = 16 * 1024**2


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a valid dataset as a zarr v3 group; an existing one is replaced only at the end.

    Parameters
    ----------
    dataset : xarray.Dataset
    path : Path
        The group's folder.

    Raises
    ------
    SchemaError
        If the dataset does not match its schema.
    StoreError
        If the folder cannot be written.
    """
    validate(dataset)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            partial = Path(scratch) / path.name
            with warnings.catch_warnings():
                # Fixed-width strings work; zarr only warns that other readers may not support them.
                warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
                dataset.assign_attrs({ATTRIBUTE: VERSION}).to_zarr(
                    partial, mode="w", zarr_format=3, consolidated=False
                )
                zarr.open_group(partial, mode="r+").attrs[DIGEST] = _digest(_open(partial))
            if path.exists():
                path.rename(Path(scratch) / "old")
            partial.rename(path)


def read_dataset(path: Path) -> xr.Dataset:
    """Open a dataset and check it; its variables are loaded lazily.

    Parameters
    ----------
    path : Path
        Written by `write_dataset`, of this hrvlab or an older one.

    Returns
    -------
    xarray.Dataset
        Under the names of the current schema version.

    Raises
    ------
    StoreError
        If there is none, it cannot be read, or its content is not what was written.
    SchemaError
        If it does not match its schema, or was written by a newer hrvlab.
    """
    if not path.exists():
        raise StoreError(f"there is no dataset at {path}")
    try:
        dataset = _open(path)
        # Zarr reads a chunk that is missing as zeros, and a flipped bit as another number.
        whole = dataset.attrs.pop(DIGEST, None) == _digest(dataset)
    except Exception as error:
        raise StoreError(f"{path} is not a readable zarr store: {error}") from error
    if not whole:
        raise StoreError(
            f"{path} is damaged: its content is not what was written; delete it and run again the "
            "command that made it"
        )
    return validate(upgrade(dataset))


def _open(path: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        # Fixed-width strings work; zarr only warns that other readers may not support them.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        return xr.open_zarr(path, consolidated=False, chunks=None)


def _digest(dataset: xr.Dataset) -> str:
    """Compute a digest of a dataset's attributes and variables."""
    digest = hashlib.sha256(json.dumps(dataset.attrs, sort_keys=True).encode())
    for name, variable in sorted(dataset.variables.items()):
        if variable.dtype.kind in "OT":
            variable = xr.Variable(variable.dims, np.array(variable.values.tolist(), str))
        digest.update(f"{name} {variable.dims} {variable.dtype} {variable.shape}".encode())
        for piece in _pieces(variable):
            digest.update(piece.values.tobytes())
    return digest.hexdigest()


def _pieces(variable: xr.Variable) -> Iterator[xr.Variable]:
    """Split a variable along its first dim, so that it need not fit into memory as a whole."""
    if not variable.ndim:
        yield variable
        return
    rows = max(1, PIECE_BYTES * len(variable) // max(1, variable.nbytes))
    for start in range(0, len(variable), rows):
        yield variable[start : start + rows]
