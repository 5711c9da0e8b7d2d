import pytest
import xarray as xr
import zarr

from hrvlab.errors import StoreError
from hrvlab.storage import seals
from hrvlab.storage.datasets import _open, read_dataset, write_dataset
from hrvlab.storage.seals import ATTRIBUTES, DIGEST
from tests.storage.test_datasets import votes_dataset


def write_as_0_1(path):
    """Write a dataset as version 0.1 did: with one digest of data and attributes."""
    votes_dataset().to_zarr(path, zarr_format=3, consolidated=False)
    written = _open(path)
    zarr.open_group(path, mode="r+").attrs[DIGEST] = seals._digest(written.attrs, written)


WRITERS = [lambda path: write_dataset(votes_dataset(), path), write_as_0_1]


@pytest.fixture(params=WRITERS, ids=["today", "0.1"])
def path(request, tmp_path):
    request.param(tmp_path / "data.zarr")
    return tmp_path / "data.zarr"


def test_attributes_that_were_added_are_read_and_do_no_harm(path):
    expected = read_dataset(path)
    group = zarr.open_group(path, mode="r+")
    group.attrs["note"] = "the run of Tuesday"
    group.attrs["a_first_name"] = [1, 2]
    found = read_dataset(path)
    assert found.attrs["note"] == "the run of Tuesday"
    xr.testing.assert_equal(found, expected)


def test_a_changed_attribute_is_not_called_damaged_data(tmp_path):
    write_dataset(votes_dataset().assign_attrs(seed=0, model="a"), tmp_path / "data.zarr")
    group = zarr.open_group(tmp_path / "data.zarr", mode="r+")
    group.attrs["model"] = "another"
    del group.attrs["seed"]
    message = "has changed attributes, model, seed; its data is whole: put them back"
    with pytest.raises(StoreError, match=message):
        read_dataset(tmp_path / "data.zarr")
    group.attrs.update({"model": "a", "seed": 0})
    assert read_dataset(tmp_path / "data.zarr").attrs["model"] == "a"


def test_in_a_store_of_0_1_a_changed_attribute_and_damage_cannot_be_told_apart(tmp_path):
    write_as_0_1(tmp_path / "data.zarr")
    zarr.open_group(tmp_path / "data.zarr", mode="r+").attrs["schema"] = "capture"
    with pytest.raises(StoreError, match="damaged, or its attributes were changed"):
        read_dataset(tmp_path / "data.zarr")


def test_damaged_data_is_called_damaged_whatever_attributes_say(path):
    zarr.open_group(path, mode="r+").attrs["note"] = "added"
    zarr.open_group(path, mode="r+")["votes_by_prompt"][0] = 7
    with pytest.raises(StoreError, match="is damaged"):
        read_dataset(path)


def test_a_store_that_hrvlab_did_not_write_is_named_as_such(tmp_path):
    votes_dataset().to_zarr(tmp_path / "own.zarr", zarr_format=3)
    with pytest.raises(StoreError, match="own.zarr was not written by hrvlab, or has lost its"):
        read_dataset(tmp_path / "own.zarr")


def test_a_dataset_that_was_opened_by_xarray_is_written_under_a_new_seal(path, tmp_path):
    opened = _open(path).load().assign_attrs(note="kept")
    assert DIGEST in opened.attrs
    write_dataset(opened, tmp_path / "copy.zarr")
    copy = read_dataset(tmp_path / "copy.zarr")
    assert copy.attrs["note"] == "kept"
    assert not {DIGEST, ATTRIBUTES} & copy.attrs.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale_factor", 0.5),
        ("add_offset", 10),
        ("missing_value", 0),
        ("_FillValue", 0),
        ("units", "steps since start"),
    ],
)
def test_attributes_added_to_a_variable_change_no_value_whatever_their_name(path, name, value):
    expected = read_dataset(path)
    zarr.open_group(path, mode="r+")["votes_by_prompt"].attrs[name] = value
    xr.testing.assert_equal(read_dataset(path), expected)
