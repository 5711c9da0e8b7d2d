from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import SchemaError, StoreError
from hrvlab.ledger import Ledger
from hrvlab.store import read_dataset, storing, validate, write_dataset

PLAN = {"seed": 0, "prompts": ["a", "b"]}


def votes_dataset():
    names = ("place", "place_layer", "layer", "head", "label")
    return xr.Dataset(
        {
            "votes_by_prompt": (("prompt", "head_position", "concept"), np.ones((2, 3, 4), int)),
            "votes_by_timestep": (
                ("timestep", "head_position", "concept"),
                np.ones((5, 3, 4), int),
            ),
        },
        coords={
            "noise_level": ("timestep", np.arange(5.0)),
            **{name: ("head_position", ["ä", "b", "c"]) for name in names},
        },
        attrs={"schema": "votes"},
    )


def test_a_valid_dataset_survives_the_disk(tmp_path):
    write_dataset(votes_dataset(), tmp_path / "data.zarr")
    xr.testing.assert_identical(read_dataset(tmp_path / "data.zarr"), votes_dataset())


def test_writing_again_replaces(tmp_path):
    write_dataset(votes_dataset(), tmp_path / "data.zarr")
    other = votes_dataset() * 2
    write_dataset(other.assign_attrs(schema="votes"), tmp_path / "data.zarr")
    assert read_dataset(tmp_path / "data.zarr")["votes_by_prompt"].max() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zarr"]


def test_a_missing_variable_names_the_dims_it_should_have():
    with pytest.raises(SchemaError, match="needs the variable 'votes_by_prompt' with dims"):
        validate(votes_dataset().drop_vars("votes_by_prompt"))


def test_wrong_dims_are_named_beside_the_right_ones():
    with pytest.raises(SchemaError, match=r"has dims \('x', .*needs \('prompt', 'head_position'"):
        validate(votes_dataset().rename(prompt="x"))


def test_a_missing_coordinate_is_named():
    with pytest.raises(SchemaError, match="coordinates noise_level"):
        validate(votes_dataset().drop_vars("noise_level"))


def test_an_unknown_schema_lists_the_known_ones():
    with pytest.raises(SchemaError, match="capture, votes, relevance, weakening"):
        validate(votes_dataset().assign_attrs(schema="vote"))


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(StoreError, match="no dataset at"):
        read_dataset(tmp_path / "data.zarr")


def test_a_damaged_store_is_an_error(tmp_path):
    write_dataset(votes_dataset(), tmp_path / "data.zarr")
    (tmp_path / "data.zarr" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="not a readable zarr store"):
        read_dataset(tmp_path / "data.zarr")


def test_finished_units_are_read_back_and_missing_ones_are_none(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    ledger.finish(1, a=np.arange(3))
    again = Ledger(tmp_path, PLAN)
    assert again.read(0) is None
    assert again.read(1)["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kept", [0, 1, 0.5, 0.99])
def test_a_truncated_unit_counts_as_missing(tmp_path, kept):
    ledger = Ledger(tmp_path, PLAN)
    ledger.finish(0, a=np.arange(1000))
    (file,) = ledger.units.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept) if kept != 1 else 1])
    assert ledger.read(0) is None


def test_every_plan_has_a_folder_of_its_own(tmp_path):
    Ledger(tmp_path, PLAN).finish(0, a=np.arange(3))
    other = Ledger(tmp_path, {**PLAN, "seed": 1})
    assert other.read(0) is None
    assert other.folder != Ledger(tmp_path, PLAN).folder


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Ledger(tmp_path / "file" / "run", PLAN)


def test_a_full_disk_is_one_clear_line_that_says_what_to_do(tmp_path):
    # Every write to /dev/full fails as on a full disk.
    with (
        pytest.raises(StoreError, match="disk is full .* run the same command again"),
        storing(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
