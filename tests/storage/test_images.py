import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import StoreError
from hrvlab.storage.images import FOLDER, read_images, save_images

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 16, 3), np.uint8)
NAMES = ["a.png", "b.png", "c.png", "d.png"]


def test_images_survive_the_disk(tmp_path):
    save_images(tmp_path, NAMES[:2], IMAGES[:2])
    save_images(tmp_path, NAMES[2:], IMAGES[2:])
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == NAMES
    np.testing.assert_array_equal(read_images(tmp_path, xr.DataArray(NAMES)), IMAGES)


def test_images_are_read_in_the_flattened_order_of_the_names(tmp_path):
    save_images(tmp_path, NAMES, IMAGES)
    names = xr.DataArray([["d.png", "a.png"], ["b.png", "d.png"]], dims=("prompt", "seed"))
    np.testing.assert_array_equal(read_images(tmp_path, names), IMAGES[[3, 0, 1, 3]])


def test_there_are_as_many_names_as_images(tmp_path):
    with pytest.raises(ValueError, match="longer than"):
        save_images(tmp_path, NAMES[:3], IMAGES)


@pytest.mark.parametrize("damage", [None, b"", b"\x89PNG"])
def test_a_missing_or_damaged_image_is_an_error_that_names_it(tmp_path, damage):
    save_images(tmp_path, NAMES, IMAGES)
    path = tmp_path / FOLDER / "c.png"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(StoreError, match=f"cannot read an image of {tmp_path}.*c.png"):
        read_images(tmp_path, xr.DataArray(NAMES))


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / FOLDER).write_text("")
    with pytest.raises(StoreError, match=f"cannot write {tmp_path}"):
        save_images(tmp_path, NAMES, IMAGES)
