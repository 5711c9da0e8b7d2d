"""Seals of datasets: digests that tell damaged data from attributes that somebody changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

DIGEST = "digest"  # of the data; in stores of version 0.1, of data and attributes together
ATTRIBUTES = "attribute_digests"
PIECE_BYTES = 16 * 1024**2


def unsealed(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset without a seal that it was read with."""
    attributes = {name: v for name, v in dataset.attrs.items() if name not in (DIGEST, ATTRIBUTES)}
    return dataset.drop_attrs(deep=False).assign_attrs(attributes)


def seal(dataset: xr.Dataset) -> dict[str, Any]:
    """Compute the attributes that seal a dataset.

    Parameters
    ----------
    dataset : xarray.Dataset
        As it is read from disk.

    Returns
    -------
    dict of str to object
        For the dataset's attributes.
    """
    return {DIGEST: _digest({}, dataset), ATTRIBUTES: _attribute_digests(dataset.attrs)}


def find_fault(dataset: xr.Dataset) -> str:
    """Describe how a dataset differs from what was sealed, and remove the seal.

    Attributes that were added since are no fault.

    Parameters
    ----------
    dataset : xarray.Dataset
        As it is read from disk; its seal is removed in place.

    Returns
    -------
    str
        Empty if it does not differ.
    """
    names = list(dataset.attrs)
    digest, sealed = (dataset.attrs.pop(name, None) for name in (DIGEST, ATTRIBUTES))
    if digest is None:
        return (
            "was not written by hrvlab, or has lost its seal; open it with xarray.open_zarr, or "
            "write it with hrvlab"
        )
    if sealed is None:
        # Zarr keeps attributes in order, and the seal was written last.
        own = {name: dataset.attrs[name] for name in names[: names.index(DIGEST)]}
        if digest in (_digest(kept, dataset) for kept in (dataset.attrs, own)):
            return ""
        return (
            "is damaged, or its attributes were changed: its content is not what was written; "
            "delete it and run again the command that made it"
        )
    if digest != _digest({}, dataset):
        return (
            "is damaged: its content is not what was written; delete it and run again the command "
            "that made it"
        )
    found = _attribute_digests(dataset.attrs)
    changed = [name for name in sorted(sealed) if found.get(name) != sealed[name]]
    if changed:
        return (
            f"has changed attributes, {', '.join(changed)}; its data is whole: put them back, or "
            "open it with xarray.open_zarr"
        )
    return ""


def _attribute_digests(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """Compute a digest of each attribute."""
    return {
        str(name): hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
        for name, value in attributes.items()
    }


def _digest(attributes: Mapping[Any, Any], dataset: xr.Dataset) -> str:
    """Compute a digest of attributes and of a dataset's variables."""
    digest = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode())
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
