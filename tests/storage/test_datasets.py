import contextlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import SchemaError, StoreError
from hrvlab.storage.atomic import storing
from hrvlab.storage.datasets import read_dataset, write_dataset
from hrvlab.storage.schema import HEAD_COORDS, validate


def votes_dataset():
    names = ("block", "block_layer", "layer", "head", "label")
    return xr.Dataset(
        {
            "votes_by_prompt": (("prompt", "head_position", "concept"), np.ones((2, 3, 4), int)),
            "votes_by_timestep": (
                ("timestep", "head_position", "concept"),
                np.ones((5, 3, 4), int),
            ),
        },
        coords={
            "scheduler_timestep": ("timestep", np.arange(5.0)),
            **{name: ("head_position", ["ä", "b", "c"]) for name in names},
        },
        attrs={"schema": "votes"},
    )


def test_a_valid_dataset_survives_the_disk(tmp_path):
    write_dataset(votes_dataset(), tmp_path / "data.zarr")
    xr.testing.assert_identical(read_dataset(tmp_path / "data.zarr"), votes_dataset())


def test_writing_again_replaces_a_dataset(tmp_path):
    write_dataset(votes_dataset(), tmp_path / "data.zarr")
    other = votes_dataset() * 2
    write_dataset(other.assign_attrs(schema="votes"), tmp_path / "data.zarr")
    assert read_dataset(tmp_path / "data.zarr")["votes_by_prompt"].max() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zarr"]


def test_a_missing_variable_is_named_with_its_dims():
    with pytest.raises(SchemaError, match="needs the variable 'votes_by_prompt' with dims"):
        validate(votes_dataset().drop_vars("votes_by_prompt"))


def test_wrong_dims_are_named_with_the_right_ones():
    with pytest.raises(SchemaError, match=r"has dims \('x', .*needs \('prompt', 'head_position'"):
        validate(votes_dataset().rename(prompt="x"))


def test_a_missing_coordinate_is_named():
    with pytest.raises(SchemaError, match="coordinates scheduler_timestep"):
        validate(votes_dataset().drop_vars("scheduler_timestep"))


def test_an_unknown_schema_lists_the_known_ones():
    with pytest.raises(SchemaError, match="capture, maps, votes, relevance, weakening"):
        validate(votes_dataset().assign_attrs(schema="vote"))


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(StoreError, match="no dataset at"):
        read_dataset(tmp_path / "data.zarr")


def test_a_damaged_store_is_an_error(tmp_path):
    write_dataset(votes_dataset(), tmp_path / "data.zarr")
    (tmp_path / "data.zarr" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="not a readable zarr store"):
        read_dataset(tmp_path / "data.zarr")


def files_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file())


def test_a_missing_or_truncated_chunk_is_an_error(tmp_path):
    path = tmp_path / "data.zarr"
    write_dataset(votes_dataset(), path)
    chunks = [file for file in files_of(path) if file.name != "zarr.json"]
    assert len(chunks) == 8
    for chunk in chunks:
        content = chunk.read_bytes()
        chunk.unlink()
        with pytest.raises(StoreError, match="damaged: its content is not what was written"):
            read_dataset(path)
        for length in {len(content) // 2, len(content) - 1}:
            chunk.write_bytes(content[:length])
            with pytest.raises(StoreError, match="damaged|not a readable"):
                read_dataset(path)
        chunk.write_bytes(content)
    read_dataset(path)


def test_no_flipped_bit_goes_unseen(tmp_path):
    path = tmp_path / "data.zarr"
    write_dataset(votes_dataset(), path)
    rng = np.random.default_rng(0)
    for file in files_of(path):
        content = bytearray(file.read_bytes())
        for position in rng.integers(len(content), size=4):
            bit = 1 << int(rng.integers(8))
            content[position] ^= bit
            file.write_bytes(content)
            with contextlib.suppress(StoreError):
                xr.testing.assert_identical(read_dataset(path), votes_dataset())
            content[position] ^= bit
        file.write_bytes(content)
    read_dataset(path)


def test_values_that_zarr_omits_or_converts_survive_the_disk(tmp_path):
    odd = xr.Dataset(
        {"relevance": (("concept", "head_position"), np.array([[0.0, -0.0], [np.nan, np.inf]]))},
        coords={
            "concept": np.array(["ä", "longer"], object),
            **{name: ("head_position", [0, 0]) for name in HEAD_COORDS},
            "empty": ("nothing", np.empty(0)),
            "flag": ("head_position", [False, True]),
        },
        attrs={"schema": "relevance", "seed": [0, 1]},
    )
    write_dataset(odd, tmp_path / "data.zarr")
    xr.testing.assert_identical(read_dataset(tmp_path / "data.zarr"), odd)


def test_a_full_disk_is_an_error_of_one_line_with_the_remedy(tmp_path):
    # Every write to /dev/full fails as on a full disk.
    with (
        pytest.raises(StoreError, match="disk is full .* run the same command again"),
        storing(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale_factor", 0.5),
        ("add_offset", 10),
        ("missing_value", 2.0),
        ("_FillValue", 2.0),
        ("dtype", "bool"),
        ("units", "steps since start"),
    ],
)
def test_an_attribute_that_would_change_values_is_refused_and_nothing_is_written(
    tmp_path, name, value
):
    dataset = votes_dataset()
    dataset["votes_by_prompt"].attrs["note"] = "kept"
    write_dataset(dataset, tmp_path / "data.zarr")
    assert read_dataset(tmp_path / "data.zarr")["votes_by_prompt"].attrs == {"note": "kept"}
    dataset["votes_by_prompt"].attrs[name] = value
    with pytest.raises(SchemaError, match="encoding.*; give it another name"):
        write_dataset(dataset, tmp_path / "other.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["data.zarr"]


@pytest.mark.parametrize("name", ["mid/0", "/mid", "mid/"])
def test_a_variable_that_is_named_like_a_path_is_refused(tmp_path, name):
    dataset = votes_dataset().assign({name: ("prompt", [1.0] * votes_dataset().sizes["prompt"])})
    with pytest.raises(SchemaError, match="cannot be stored as .*; give it a name without /"):
        write_dataset(dataset, tmp_path / "data.zarr")
    assert not list(tmp_path.iterdir())


def test_labels_that_look_like_paths_or_are_empty_come_back_as_they_are(tmp_path):
    labels = ["a/b", ""]
    for dtype in (str, object):
        dataset = votes_dataset().assign_coords(note=("prompt", np.array(labels, dtype)))
        write_dataset(dataset, tmp_path / "data.zarr")
        assert read_dataset(tmp_path / "data.zarr")["note"].values.tolist() == labels
