"""Schema versions: datasets of older stores are read under the current names."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from hrvlab.errors import SchemaError

VERSION = 2
ATTRIBUTE = "schema_version"
# Names of dims, coordinates and variables in version 1, which stores did not declare.
RENAMED: Mapping[str, str] = {
    "arm": "condition",
    "ballot": "voting_rule",
    "noise_level": "scheduler_timestep",
    "place": "block",
    "place_layer": "block_layer",
    "witness": "evaluator",
}
RENAMED_IN: Mapping[str, Mapping[str, str]] = {
    "relevance": {"halves": "split_half"},
    "editing": {
        "kept": "preservation",
        "moved": "background_change",
        "reached": "target_score",
    },
    "neglect": {"half": "object", "whole": "prompt_score"},
}
RENAMED_SCHEMAS: Mapping[str, str] = {"effects": "head_effects", "polysemy": "disambiguation"}


def upgrade(dataset: xr.Dataset) -> xr.Dataset:
    """Rename the dims, coordinates, variables and schema of a dataset of an older version.

    Parameters
    ----------
    dataset : xarray.Dataset
        From a store; without the attribute ``schema_version`` it is of version 1.

    Returns
    -------
    xarray.Dataset
        Of the current version, without that attribute.

    Raises
    ------
    SchemaError
        If it was written by a newer hrvlab.
    """
    attributes = dict(dataset.attrs)
    version = attributes.pop(ATTRIBUTE, 1)
    if version > VERSION:
        raise SchemaError(
            f"the store has schema version {version}, this hrvlab reads versions up to {VERSION}; "
            "install a newer hrvlab"
        )
    if version < VERSION:
        there = {*dataset.variables, *dataset.dims}
        renamed = {**RENAMED, **RENAMED_IN.get(attributes.get("schema", ""), {})}
        dataset = dataset.rename({old: new for old, new in renamed.items() if old in there})
        for variable in dataset.variables.values():
            variable.encoding.pop("coordinates", None)  # it lists the old names
        if attributes.get("schema") in RENAMED_SCHEMAS:
            attributes["schema"] = RENAMED_SCHEMAS[attributes["schema"]]
    return dataset.drop_attrs(deep=False).assign_attrs(attributes)
