import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import StoreError
from hrvlab.storage.images import save_images
from hrvlab.storage.run import Run

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
NAMES = np.array([["a.png", "b.png"], ["c.png", "d.png"]])
DATA = xr.Dataset({"image": (("prompt", "seed"), NAMES)})


def test_a_stored_run_reads_its_images(tmp_path):
    save_images(tmp_path, NAMES.ravel().tolist(), IMAGES)
    run = Run(DATA, tmp_path)
    assert run.stored() == tmp_path
    np.testing.assert_array_equal(run.images(run.data["image"]), IMAGES)
    np.testing.assert_array_equal(run.images(run.data["image"].isel(seed=1)), IMAGES[[1, 3]])


def test_a_run_that_was_not_stored_has_no_folder_and_no_images():
    run = Run(DATA)
    with pytest.raises(StoreError, match="was not stored; run it again with a store"):
        run.stored()
    with pytest.raises(StoreError, match="was not stored"):
        run.images(run.data["image"])
