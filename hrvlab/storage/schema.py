"""The schemas of all kinds of datasets, and the check against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import xarray as xr

from hrvlab.errors import SchemaError


@dataclass(frozen=True)
class Schema:
    """The schema of a kind of dataset.

    Parameters
    ----------
    name : str
    variables : mapping of str to tuple of str
        Each variable's dims.
    optional : mapping of str to tuple of str
        Variables that may be absent.
    coords : tuple of str
        Required coordinates.
    """

    name: str
    variables: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coords: tuple[str, ...] = ()


HEAD_COORDS = ("block", "block_layer", "layer", "head", "label")

CAPTURE = Schema(
    "capture",
    {"attention": ("prompt", "timestep", "layer", "head", "token")},
    {
        "image": ("prompt", "y", "x", "channel"),
        "withheld": ("prompt",),
        "text_mass": ("prompt", "timestep", "layer", "head"),
    },
    ("scheduler_timestep", "block", "block_layer", "module", "grid", "heads", "token_text", "word"),
)

MAPS = Schema(
    "maps",
    {"maps": ("prompt", "timestep", "map_layer", "head", "map_word", "map_y", "map_x")},
    coords=("map_layer", "map_word"),
)

VOTES = Schema(
    "votes",
    {
        "votes_by_prompt": ("prompt", "head_position", "concept"),
        "votes_by_timestep": ("timestep", "head_position", "concept"),
    },
    coords=("scheduler_timestep", *HEAD_COORDS),
)

RELEVANCE = Schema("relevance", {"relevance": ("concept", "head_position")}, coords=HEAD_COORDS)

WEAKENING = Schema(
    "weakening",
    {"score": ("order", "weakened", "prompt", "seed")},
    {"image": ("order", "weakened", "prompt", "seed")},
    ("kind", "share"),
)

HEAD_EFFECTS = Schema(
    "head_effects",
    {"effect": ("head_position", "prompt", "seed"), "plain": ("prompt", "seed")},
    {"image": ("head_position", "prompt", "seed")},
    HEAD_COORDS,
)

DISAMBIGUATION = Schema(
    "disambiguation",
    {"misread": ("condition", "prompt", "seed"), "margin": ("condition", "prompt", "seed")},
    {"image": ("condition", "prompt", "seed")},
    ("prompt_text", "word", "wanted", "unwanted"),
)

EDITING = Schema(
    "editing",
    {
        name: ("condition", "prompt", "seed")
        for name in ("target_score", "preservation", "background_change")
    },
    {"image": ("condition", "prompt", "seed"), "source_image": ("prompt", "seed")},
    ("prompt_text", "target_text", "concept"),
)

NEGLECT = Schema(
    "neglect",
    {
        **{
            name: ("condition", "prompt", "seed", "object")
            for name in ("score", "shown", "present")
        },
        **{name: ("condition", "prompt", "seed") for name in ("prompt_score", "passes")},
    },
    {"image": ("condition", "prompt", "seed")},
    ("prompt_text",),
)

# Beside it, a pool has the queries themselves, in arrays that are read shard by shard, and for each
# group of layers that are alike the projection of their keys.
RESERVOIR = Schema(
    "reservoir",
    {
        "call": ("prompt", "timestep"),
        "states": ("row", "state"),
        "tokens": ("word",),
        "scale": ("model_layer",),
    },
    coords=("prompt_text", "word", "known", *HEAD_COORDS),
)

SCHEMAS = {
    schema.name: schema
    for schema in (
        CAPTURE,
        MAPS,
        VOTES,
        RELEVANCE,
        WEAKENING,
        HEAD_EFFECTS,
        DISAMBIGUATION,
        EDITING,
        NEGLECT,
        RESERVOIR,
    )
}


def validate(dataset: xr.Dataset) -> xr.Dataset:
    """Check a dataset against the schema that its attribute ``schema`` names, and return it.

    Raises
    ------
    SchemaError
        If a variable has other dims, or a variable or coordinate is missing.
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
        # Leading dims such as timestep or evaluator may stack several of the same kind.
        if variable in dataset and dataset[variable].dims[-len(dims) :] != dims:
            raise SchemaError(
                f"{variable!r} has dims {dataset[variable].dims}, a {name} dataset needs {dims}"
            )
    missing = [coord for coord in schema.coords if coord not in dataset.coords]
    if missing:
        raise SchemaError(f"a {name} dataset needs the coordinates {', '.join(missing)}")
    return dataset
