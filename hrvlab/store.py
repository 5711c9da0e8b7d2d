"""Datasets on disk: their schemas, provenance, zarr stores, and the ledger of finished units."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.errors import SchemaError, StoreError
from hrvlab.models.load import fingerprint

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "xarray")
DATA, PLAN, UNITS = "data.zarr", "plan.json", "ledger"
CLOSED = "closed"  # a file of that name in a store says that it takes no new plan


@dataclass(frozen=True)
class Schema:
    """What a kind of dataset holds.

    Parameters
    ----------
    name : str
    variables : mapping of str to tuple of str
        Each variable's dims.
    optional : mapping of str to tuple of str
        Variables that may be absent.
    coords : tuple of str
        Coordinates that must be there.
    """

    name: str
    variables: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coords: tuple[str, ...] = ()


HEAD_COORDS = ("place", "place_layer", "layer", "head", "label")
CAPTURE = Schema(
    "capture",
    {"attention": ("prompt", "timestep", "layer", "head", "token")},
    {"image": ("prompt", "y", "x", "channel")},
    ("noise_level", "place", "place_layer", "module", "grid", "heads", "token_text", "word"),
)
VOTES = Schema(
    "votes",
    {
        "votes_by_prompt": ("prompt", "head_position", "concept"),
        "votes_by_timestep": ("timestep", "head_position", "concept"),
    },
    coords=("noise_level", *HEAD_COORDS),
)
RELEVANCE = Schema("relevance", {"relevance": ("concept", "head_position")}, coords=HEAD_COORDS)
WEAKENING = Schema(
    "weakening",
    {"score": ("order", "weakened", "prompt", "seed")},
    {"image": ("order", "weakened", "prompt", "seed")},
    ("kind", "share"),
)
EFFECTS = Schema(
    "effects",
    {"effect": ("head_position", "prompt", "seed")},
    {"image": ("head_position", "prompt", "seed")},
    HEAD_COORDS,
)
POLYSEMY = Schema(
    "polysemy",
    {"misread": ("arm", "prompt", "seed"), "margin": ("arm", "prompt", "seed")},
    {"image": ("arm", "prompt", "seed")},
    ("prompt_text", "word", "wanted", "unwanted"),
)
EDITING = Schema(
    "editing",
    {name: ("arm", "prompt", "seed") for name in ("reached", "kept", "moved")},
    {"image": ("arm", "prompt", "seed"), "source_image": ("prompt", "seed")},
    ("prompt_text", "target_text", "concept"),
)
SCHEMAS = {
    schema.name: schema
    for schema in (CAPTURE, VOTES, RELEVANCE, WEAKENING, EFFECTS, POLYSEMY, EDITING)
}


def validate(dataset: xr.Dataset) -> xr.Dataset:
    """Check a dataset against the schema its attributes name, and give it back.

    Raises
    ------
    SchemaError
        Naming the dims found and the dims expected, or the coordinate that is missing.
    """
    name = dataset.attrs.get("schema")
    if name not in SCHEMAS:
        raise SchemaError(f"unknown schema {name!r}; expected one of {', '.join(SCHEMAS)}")
    schema = SCHEMAS[name]
    for variable, dims in schema.variables.items():
        if variable not in dataset:
            raise SchemaError(
                f"a {name} dataset needs the variable {variable!r} with dims {dims}; "
                f"found {', '.join(map(str, dataset.data_vars)) or 'none'}"
            )
    for variable, dims in {**schema.variables, **schema.optional}.items():
        # Leading dims such as timestep or draw may stack several of the same kind.
        if variable in dataset and dataset[variable].dims[-len(dims) :] != dims:
            raise SchemaError(
                f"{variable!r} has dims {dataset[variable].dims}, a {name} dataset needs {dims}"
            )
    missing = [coord for coord in schema.coords if coord not in dataset.coords]
    if missing:
        raise SchemaError(f"a {name} dataset needs the coordinates {', '.join(missing)}")
    return dataset


def provenance(
    pipe: DiffusionPipeline, schema: str, *, seed: int | list[int], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Say where a dataset came from, as its attributes.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    schema : str
        Name of the dataset's schema.
    seed : int or list of int
    parameters : dict
        Everything else that determined it; must be JSON.
    """
    return {
        "schema": schema,
        "hrvlab_version": version("hrvlab"),
        "model": _model_name(pipe),
        "model_fingerprint": fingerprint(pipe),
        "scheduler": type(pipe.scheduler).__name__,
        "guidance_scale": float(parameters.get("guidance_scale", 7.5)),
        "seed": seed,
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "libraries": json.dumps({name: version(name) for name in LIBRARIES}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": json.dumps(parameters, sort_keys=True),
    }


def _model_name(pipe: DiffusionPipeline) -> str:
    """Name the model without the folders above it."""
    path = str(pipe.config.get("_name_or_path") or type(pipe).__name__)
    return Path(path).name if Path(path).is_dir() else path


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a valid dataset as a zarr v3 group, replacing what was there only once it is whole.

    Raises
    ------
    SchemaError
        If the dataset does not fit its schema.
    StoreError
        If the folder cannot be written.
    """
    validate(dataset)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            partial = Path(scratch) / path.name
            with warnings.catch_warnings():
                # Fixed-width strings work; zarr only warns that other readers may not know them.
                warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
                dataset.to_zarr(partial, mode="w", zarr_format=3, consolidated=False)
            if path.exists():
                path.rename(Path(scratch) / "old")
            partial.rename(path)


def read_dataset(path: Path) -> xr.Dataset:
    """Read a dataset and check it.

    Raises
    ------
    StoreError
        If there is none, or it cannot be read.
    SchemaError
        If it does not fit its schema.
    """
    if not path.exists():
        raise StoreError(f"there is no dataset at {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
            dataset = xr.open_zarr(path, consolidated=False, chunks=None).load()
    except Exception as error:
        raise StoreError(f"{path} is not a readable zarr store: {error}") from error
    return validate(dataset)


def plan_folder(store: Path, plan: bytes) -> Path:
    """Say where a store keeps a plan."""
    return store / hashlib.sha256(plan).hexdigest()[:16]


class Ledger:
    """The finished units of one plan, each in a file of its own, written whole or not at all.

    Parameters
    ----------
    store : Path
        Folder in which every plan has a folder of its own, so that plans never mix.
    plan : dict
        All that determines the result, as JSON.

    Raises
    ------
    StoreError
        If the folder cannot be written, or the store is closed and does not hold the plan.
    """

    def __init__(self, store: Path, plan: dict[str, Any]) -> None:
        written = json.dumps(plan, sort_keys=True, indent=1).encode()
        self.folder = plan_folder(store, written)
        self.units = self.folder / UNITS
        if (store / CLOSED).exists() and not self.folder.exists():
            raise StoreError(f"{store} holds finished work of other plans, and takes no new one")
        with storing(self.folder):
            self.units.mkdir(parents=True, exist_ok=True)
            _write_whole(self.folder / PLAN, written)

    def _path(self, unit: int) -> Path:
        return self.units / f"{unit:06d}.npz"

    def read(self, unit: int) -> dict[str, NDArray[Any]] | None:
        """Give a finished unit's arrays, or None if it is missing or damaged."""
        try:
            with self._path(unit).open("rb") as file:
                return dict(np.load(file, allow_pickle=False))
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError):
            return None

    def finish(self, unit: int, **arrays: NDArray[Any]) -> None:
        """Keep a unit's arrays.

        Raises
        ------
        StoreError
            If the disk is full or read-only; units finished before stay.
        """
        with storing(self.folder), tempfile.TemporaryFile() as buffer:
            np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
            buffer.seek(0)
            _write_whole(self._path(unit), buffer.read())


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is seen complete or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"the disk is full while writing {path}; what was finished is kept: free some "
                "space and run the same command again"
            ) from error
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
