"""Datasets on disk: zarr stores that are written atomically and checked when they are read."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import xarray as xr
import zarr

from hrvlab.errors import SchemaError, StoreError
from hrvlab.paths import user_path
from hrvlab.storage.atomic import KEPT, SCRATCH, storing
from hrvlab.storage.schema import validate
from hrvlab.storage.seals import find_fault, seal, unsealed
from hrvlab.storage.versions import ATTRIBUTE, VERSION, upgrade

FILL = "_FillValue"  # xarray's own attribute of every float variable


def write_dataset(dataset: xr.Dataset, path: str | Path, kept: str = KEPT) -> None:
    """Write a valid dataset as a zarr v3 group; an existing one is replaced only at the end.

    Parameters
    ----------
    dataset : xarray.Dataset
    path : str or Path
        The group's folder.
    kept : str
        A clause that says what is kept and what is lost, if it cannot be written.

    Raises
    ------
    SchemaError
        If the dataset does not match its schema, or has a variable, or an attribute of one, whose
        name has a meaning of its own for zarr or xarray, so that it would not come back.
    StoreError
        If the folder cannot be written.
    """
    _write({".": dataset}, user_path(path), kept)


def write_tree(tree: xr.DataTree, path: str | Path, kept: str = KEPT) -> None:
    """Write a tree of valid datasets as a zarr v3 group with a group for each node.

    Parameters
    ----------
    tree : xarray.DataTree
        A root, whose dataset `read_dataset` reads, and nodes below it.
    path : str or Path
        The folder of the root's group.
    kept : str
        See `write_dataset`.

    Raises
    ------
    SchemaError
        If a dataset does not match its schema.
    StoreError
        If the folder cannot be written.
    """
    nodes = {node.path.strip("/") or ".": node.to_dataset(inherit=False) for node in tree.subtree}
    _write(nodes, user_path(path), kept)


def _write(datasets: Mapping[str, xr.Dataset], path: Path, kept: str) -> None:
    """Write datasets as zarr groups, by their paths within the folder of the first."""
    for dataset in datasets.values():
        validate(dataset)
    with storing(path, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=path.parent) as scratch:
            partial = Path(scratch) / path.name
            with warnings.catch_warnings():
                # Fixed-width strings work; zarr only warns that other readers may not support them.
                warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
                for name, dataset in datasets.items():
                    own = partial / name
                    unsealed(dataset).assign_attrs({ATTRIBUTE: VERSION}).to_zarr(
                        own, mode="w", zarr_format=3, consolidated=False
                    )
                    _check_names(dataset, own)
                    zarr.open_group(own, mode="r+").attrs.update(seal(_open(own)))
            replace_folder(path, partial)


def _check_names(dataset: xr.Dataset, path: Path) -> None:
    """Check that xarray finds every variable and its attributes in a store, under their names.

    A slash is a path for zarr, and attributes such as ``scale_factor``, ``missing_value`` or
    ``dtype`` change the values for whoever opens the store.
    """
    try:
        read = xr.open_zarr(path, consolidated=False, chunks=None)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise SchemaError(
            f"an attribute of a variable, such as units, is read as an encoding ({reason}); give "
            "it another name"
        ) from error
    for name, variable in dataset.variables.items():
        if name not in read.variables:
            raise SchemaError(f"a variable cannot be stored as {name!r}; give it a name without /")
        if lost := [str(one) for one in variable.attrs if one not in read[name].attrs]:
            raise SchemaError(
                f"{name!r} has the attribute {', '.join(lost)}, which is read as an encoding and "
                "changes its values; give it another name"
            )


def replace_folder(path: Path, new: Path) -> None:
    """Put a finished folder in the place of another, which is kept if that fails.

    Parameters
    ----------
    path : Path
        Of a folder, or of nothing.
    new : Path
        In a scratch folder on the same disk, to which the other is moved.
    """
    old = new.with_name(f"old {new.name}")
    try:
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise


def read_dataset(path: str | Path) -> xr.Dataset:
    """Open a dataset and check it; its variables are loaded lazily.

    Parameters
    ----------
    path : str or Path
        Written by `write_dataset`, of this hrvlab or an older one.

    Returns
    -------
    xarray.Dataset
        Under the names of the current schema version.

    Raises
    ------
    StoreError
        If there is none, it cannot be read, its content is not what was written, or its attributes
        were changed; attributes that were added do no harm.
    SchemaError
        If it does not match its schema, or was written by a newer hrvlab.
    """
    path = user_path(path)
    try:
        if not path.exists():
            raise StoreError(f"there is no dataset at {path}")
        dataset = _open(path)
        # Zarr reads a chunk that is missing as zeros, and a flipped bit as another number.
        fault = find_fault(dataset)
    except StoreError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{path} is not a readable zarr store: {reason}") from error
    if fault:
        raise StoreError(f"{path} {fault}")
    return validate(upgrade(dataset))


def read_tree(path: str | Path) -> xr.DataTree:
    """Open a tree of datasets and check each; their variables are loaded lazily.

    Parameters
    ----------
    path : str or Path
        Written by `write_tree`.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    StoreError, SchemaError
        See `read_dataset`.
    """
    root = read_dataset(path)
    names = sorted(name for name, _ in zarr.open_group(user_path(path), mode="r").groups())
    nodes = {f"/{name}": read_dataset(user_path(path) / name) for name in names}
    return xr.DataTree.from_dict({"/": root, **nodes})


def _open(path: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        # Fixed-width strings work; zarr only warns that other readers may not support them.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        # Attributes that somebody added are labels, whatever their names: nothing is scaled.
        dataset = xr.open_zarr(
            path, consolidated=False, chunks=None, mask_and_scale=False, decode_times=False
        )
    for variable in dataset.variables.values():
        if (fill := variable.attrs.pop(FILL, None)) is not None:
            variable.encoding[FILL] = fill
    return dataset
