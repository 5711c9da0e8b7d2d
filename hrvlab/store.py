"""Datasets on disk: their schemas, provenance, and zarr stores that tell when they are damaged."""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import tempfile
import warnings
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
from PIL import Image
from torch import Tensor

from hrvlab.errors import ParameterError, SchemaError, StoreError
from hrvlab.models.load import fingerprint

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "xarray")
DIGEST = "digest"
PIECE_BYTES = 16 * 1024**2


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
    {"effect": ("head_position", "prompt", "seed"), "plain": ("prompt", "seed")},
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
NEGLECT = Schema(
    "neglect",
    {
        **{name: ("arm", "prompt", "seed", "half") for name in ("score", "shown", "present")},
        **{name: ("arm", "prompt", "seed") for name in ("whole", "passes")},
    },
    {"image": ("arm", "prompt", "seed")},
    ("prompt_text",),
)
SCHEMAS = {
    schema.name: schema
    for schema in (CAPTURE, VOTES, RELEVANCE, WEAKENING, EFFECTS, POLYSEMY, EDITING, NEGLECT)
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
        "guidance_scale": float(parameters.get("guidance_scale", _default_guidance(pipe))),
        "seed": seed,
        "dtype": str(pipe.unet.dtype).removeprefix("torch."),
        "libraries": json.dumps({name: version(name) for name in LIBRARIES}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": json.dumps(parameters, sort_keys=True, default=stand_in),
    }


def _default_guidance(pipe: DiffusionPipeline) -> float:
    return inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default


def stand_in(value: object) -> str:
    """Stand in for a picture or an array in JSON."""
    if isinstance(value, Tensor):
        value = value.detach().float().cpu().numpy()
    if not isinstance(value, Image.Image | np.ndarray):
        raise ParameterError(
            f"a plan cannot hold a {type(value).__name__}; give text, numbers, pictures or arrays"
        )
    array = np.ascontiguousarray(value)
    return f"{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


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
                zarr.open_group(partial, mode="r+").attrs[DIGEST] = _digest(_open(partial))
            if path.exists():
                path.rename(Path(scratch) / "old")
            partial.rename(path)


def read_dataset(path: Path) -> xr.Dataset:
    """Open a dataset and check it; its variables are read when they are asked for.

    Raises
    ------
    StoreError
        If there is none, it cannot be read, or what is read is not what was written.
    SchemaError
        If it does not fit its schema.
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
        raise StoreError(f"{path} is damaged: it reads otherwise than it was written; make it anew")
    return validate(dataset)


def _open(path: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        # Fixed-width strings work; zarr only warns that other readers may not know them.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        return xr.open_zarr(path, consolidated=False, chunks=None)


def _digest(dataset: xr.Dataset) -> str:
    """Identify all that a dataset holds."""
    digest = hashlib.sha256(json.dumps(dataset.attrs, sort_keys=True).encode())
    for name, variable in sorted(dataset.variables.items()):
        if variable.dtype.kind in "OT":
            variable = xr.Variable(variable.dims, np.array(variable.values.tolist(), str))
        digest.update(f"{name} {variable.dims} {variable.dtype} {variable.shape}".encode())
        for piece in _pieces(variable):
            digest.update(piece.values.tobytes())
    return digest.hexdigest()


def _pieces(variable: xr.Variable) -> Iterator[xr.Variable]:
    """Cut a variable along its first dim, so that it need not fit the memory as a whole."""
    if not variable.ndim:
        yield variable
        return
    rows = max(1, PIECE_BYTES * len(variable) // max(1, variable.nbytes))
    for start in range(0, len(variable), rows):
        yield variable[start : start + rows]


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
