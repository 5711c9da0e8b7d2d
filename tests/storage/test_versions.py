import numpy as np
import pytest
import xarray as xr
import zarr

from hrvlab.errors import SchemaError
from hrvlab.storage import datasets, seals
from hrvlab.storage.datasets import read_dataset, write_dataset
from hrvlab.storage.seals import DIGEST
from hrvlab.storage.versions import ATTRIBUTE, RENAMED, RENAMED_IN, VERSION


def dataset(schema, coords, **dims):
    """Build a dataset from the dims of its variables and coordinates; every dim has size 2."""
    variables = {
        name: (own.split(), np.arange(2.0 ** len(own.split())).reshape([2] * len(own.split())))
        for name, own in dims.items()
    }
    return xr.Dataset(variables, attrs={"schema": schema, "seed": 0}).set_coords(coords.split())


HEADS = dict.fromkeys(("layer", "head", "label"), "head_position")
OLD_HEADS = HEADS | dict.fromkeys(("place", "place_layer"), "head_position")
NEW_HEADS = HEADS | dict.fromkeys(("block", "block_layer"), "head_position")
PROMPTS = dict.fromkeys(("prompt_text", "word", "wanted", "unwanted"), "prompt")
EDITS = dict.fromkeys(("prompt_text", "target_text", "concept"), "prompt")

# The same datasets, with the names of version 1 and of version 2.
CASES = {
    "votes": (
        dataset(
            "votes",
            f"noise_level {' '.join(OLD_HEADS)}",
            votes_by_prompt="ballot prompt head_position concept",
            votes_by_timestep="ballot timestep head_position concept",
            ballot="ballot",
            noise_level="timestep",
            **OLD_HEADS,
        ),
        dataset(
            "votes",
            f"scheduler_timestep {' '.join(NEW_HEADS)}",
            votes_by_prompt="voting_rule prompt head_position concept",
            votes_by_timestep="voting_rule timestep head_position concept",
            voting_rule="voting_rule",
            scheduler_timestep="timestep",
            **NEW_HEADS,
        ),
    ),
    "relevance": (
        dataset(
            "relevance",
            f"halves {' '.join(OLD_HEADS)}",
            relevance="half concept head_position",
            halves="concept",
            **OLD_HEADS,
        ),
        dataset(
            "relevance",
            f"split_half {' '.join(NEW_HEADS)}",
            relevance="half concept head_position",
            split_half="concept",
            **NEW_HEADS,
        ),
    ),
    "effects": (
        dataset(
            "effects",
            " ".join(OLD_HEADS),
            effect="witness head_position prompt seed",
            plain="witness prompt seed",
            witness="witness",
            **OLD_HEADS,
        ),
        dataset(
            "head_effects",
            " ".join(NEW_HEADS),
            effect="evaluator head_position prompt seed",
            plain="evaluator prompt seed",
            evaluator="evaluator",
            **NEW_HEADS,
        ),
    ),
    "polysemy": (
        dataset(
            "polysemy",
            " ".join(PROMPTS),
            misread="arm prompt seed",
            margin="arm prompt seed",
            arm="arm",
            **PROMPTS,
        ),
        dataset(
            "disambiguation",
            " ".join(PROMPTS),
            misread="condition prompt seed",
            margin="condition prompt seed",
            condition="condition",
            **PROMPTS,
        ),
    ),
    "editing": (
        dataset(
            "editing",
            " ".join(EDITS),
            reached="arm prompt seed",
            kept="arm prompt seed",
            moved="arm prompt seed",
            **EDITS,
        ),
        dataset(
            "editing",
            " ".join(EDITS),
            target_score="condition prompt seed",
            preservation="condition prompt seed",
            background_change="condition prompt seed",
            **EDITS,
        ),
    ),
    "neglect": (
        dataset(
            "neglect",
            "prompt_text",
            score="arm prompt seed half",
            shown="arm prompt seed half",
            present="arm prompt seed half",
            whole="arm prompt seed",
            passes="arm prompt seed",
            half="half",
            prompt_text="prompt",
        ),
        dataset(
            "neglect",
            "prompt_text",
            score="condition prompt seed object",
            shown="condition prompt seed object",
            present="condition prompt seed object",
            prompt_score="condition prompt seed",
            passes="condition prompt seed",
            object="object",
            prompt_text="prompt",
        ),
    ),
}


def write_as(attributes, content, path):
    """Write a dataset with these attributes, whatever its schema."""
    content.assign_attrs(attributes).to_zarr(path, zarr_format=3, consolidated=False)
    written = datasets._open(path)
    zarr.open_group(path, mode="r+").attrs[DIGEST] = seals._digest(written.attrs, written)


@pytest.mark.parametrize("attributes", [{}, {ATTRIBUTE: 1}], ids=["undeclared", "declared"])
@pytest.mark.parametrize("schema", CASES)
def test_a_store_of_version_1_is_read_under_today_s_names(tmp_path, schema, attributes):
    old, new = CASES[schema]
    write_as(attributes, old, tmp_path / "data.zarr")
    xr.testing.assert_identical(read_dataset(tmp_path / "data.zarr"), new)


def test_every_renamed_name_is_tested():
    old_names = {schema: {*old.variables, *old.dims} for schema, (old, _) in CASES.items()}
    assert set(RENAMED) <= set.union(*old_names.values())
    assert all(set(renamed) <= old_names[schema] for schema, renamed in RENAMED_IN.items())


@pytest.mark.parametrize("schema", CASES)
def test_a_store_of_today_s_version_is_read_as_it_was_written(tmp_path, schema):
    _, new = CASES[schema]
    write_dataset(new, tmp_path / "data.zarr")
    assert zarr.open_group(tmp_path / "data.zarr").attrs[ATTRIBUTE] == VERSION
    xr.testing.assert_identical(read_dataset(tmp_path / "data.zarr"), new)


def test_today_s_names_may_be_old_ones_again(tmp_path):
    _, new = CASES["neglect"]
    labeled = new.assign_coords(place=("prompt", [0, 1]))
    write_dataset(labeled, tmp_path / "data.zarr")
    xr.testing.assert_identical(read_dataset(tmp_path / "data.zarr"), labeled)


def test_a_store_of_a_newer_version_is_refused_in_one_line(tmp_path):
    write_as({ATTRIBUTE: VERSION + 1}, CASES["neglect"][1], tmp_path / "data.zarr")
    with pytest.raises(
        SchemaError, match="schema version 3, .* up to 2; install a newer"
    ) as refusal:
        read_dataset(tmp_path / "data.zarr")
    assert "\n" not in str(refusal.value)
