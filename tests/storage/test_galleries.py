import json

import numpy as np
import pytest
from PIL import Image

from hrvlab.errors import StoreError
from hrvlab.storage.galleries import CAPTION, MARGIN, SHEET, SIDE, Gallery, contact_sheet


def test_images_settings_and_a_sheet_are_written(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3), np.uint8)
    gallery = Gallery(tmp_path, 2, {"prompt": "猫"})
    assert json.loads((tmp_path / "settings.json").read_text(encoding="utf-8")) == {"prompt": "猫"}
    gallery.add(["a.png", "b.png"], images[:2])
    gallery.add(["c.png"], images[2:])
    gallery.finish()
    for name, image in zip("abc", images, strict=True):
        np.testing.assert_array_equal(Image.open(tmp_path / f"{name}.png"), image)
    sheet = np.asarray(Image.open(tmp_path / SHEET))
    assert sheet.shape == (2 * (20 + CAPTION + MARGIN) + MARGIN, 2 * (30 + MARGIN) + MARGIN, 3)
    row = slice(20 + CAPTION + 2 * MARGIN, 40 + CAPTION + 2 * MARGIN)
    np.testing.assert_array_equal(sheet[row, MARGIN : 30 + MARGIN], images[2])
    captions = sheet[20 + MARGIN : 20 + MARGIN + CAPTION]
    assert (captions < 128).any()


def test_large_images_are_small_on_the_sheet_and_whole_in_their_files(tmp_path):
    gallery = Gallery(tmp_path, 8, {})
    gallery.add(["a.png"], np.zeros((1, 600, 300, 3), np.uint8))
    gallery.finish()
    assert Image.open(tmp_path / "a.png").size == (300, 600)
    assert Image.open(tmp_path / SHEET).size == (
        SIDE // 2 + 2 * MARGIN,
        SIDE + CAPTION + 2 * MARGIN,
    )


def test_a_caption_never_reaches_its_neighbor():
    white = [Image.new("RGB", (20, 10), "white")] * 2
    sheet = np.asarray(contact_sheet(white, ["M" * 40, ""], 2))
    assert (sheet[:, : 20 + MARGIN] < 255).any()
    assert (sheet[:, 20 + MARGIN :] == 255).all()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    gallery = Gallery(tmp_path, 1, {})
    (tmp_path / "a.png").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        gallery.add(["a.png"], np.zeros((1, 8, 8, 3), np.uint8))
