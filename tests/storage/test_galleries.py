import json

import numpy as np
import pytest
from PIL import Image

from hrvlab.errors import ModelError, StoreError
from hrvlab.storage.galleries import (
    CAPTION,
    MARGIN,
    SHEET,
    SIDE,
    Gallery,
    check_folder,
    contact_sheet,
)

PLAN, SETTINGS = {"seed": 0}, {"prompt": "猫"}
IMAGES = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3), np.uint8)
NAMES = [["a.png", "b.png"], ["c.png"]]
UNITS = {0: {"a.png": IMAGES[0], "b.png": IMAGES[1]}, 1: {"c.png": IMAGES[2]}}


def gallery(folder, plan=None):
    return Gallery(folder, plan or PLAN, NAMES, SETTINGS)


def drawn(missing):
    for number in missing:
        yield number, UNITS[number]


def never(_):
    raise AssertionError("an image was drawn")


def fail(_):
    raise ModelError("the model failed")


def one(missing):
    """Draw the first of the missing units, and fail."""
    yield missing[0], UNITS[missing[0]]
    raise ModelError("the model failed")


def state(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_images_settings_and_a_sheet_are_written(tmp_path):
    assert gallery(tmp_path).fill(drawn, 2)
    assert json.loads((tmp_path / "settings.json").read_text(encoding="utf-8")) == SETTINGS
    for name, image in zip("abc", IMAGES, strict=True):
        np.testing.assert_array_equal(Image.open(tmp_path / f"{name}.png"), image)
    sheet = np.asarray(Image.open(tmp_path / SHEET))
    assert sheet.shape == (2 * (20 + CAPTION + MARGIN) + MARGIN, 2 * (30 + MARGIN) + MARGIN, 3)
    row = slice(20 + CAPTION + 2 * MARGIN, 40 + CAPTION + 2 * MARGIN)
    np.testing.assert_array_equal(sheet[row, MARGIN : 30 + MARGIN], IMAGES[2])
    captions = sheet[20 + MARGIN : 20 + MARGIN + CAPTION]
    assert (captions < 128).any()


def test_large_images_are_small_on_the_sheet_and_whole_in_their_files(tmp_path):
    large = {"a.png": np.zeros((600, 300, 3), np.uint8)}
    Gallery(tmp_path, {}, [["a.png"]], {}).fill(lambda _: [(0, large)], 8)
    assert Image.open(tmp_path / "a.png").size == (300, 600)
    assert Image.open(tmp_path / SHEET).size == (
        SIDE // 2 + 2 * MARGIN,
        SIDE + CAPTION + 2 * MARGIN,
    )


def test_a_stopped_gallery_is_completed_and_what_is_complete_is_not_touched(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    gallery(whole).fill(drawn, 2)
    with pytest.raises(ModelError):
        gallery(stopped).fill(one, 2)
    before = state(stopped)
    assert {"a.png", "b.png", "settings.json"} < before.keys()
    (stopped / ".scratch.c.png.0").touch()
    asked = []
    assert gallery(stopped).fill(lambda missing: [asked.extend(missing), *drawn(missing)][1:], 2)
    assert asked == [1]
    after = state(stopped)
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in state(whole).items()
    }
    assert all(after[name] == before[name] for name in ("a.png", "b.png", "settings.json"))
    assert not gallery(stopped).fill(never, 2)
    assert state(stopped) == after


def test_images_that_are_missing_or_damaged_are_drawn_again(tmp_path):
    gallery(tmp_path).fill(drawn, 2)
    expected = {name: content for name, (content, _) in state(tmp_path).items()}
    content = expected["a.png"]
    for damaged in (None, content[:-20], content[:60] + bytes([content[60] ^ 4]) + content[61:]):
        (tmp_path / "a.png").unlink()
        if damaged is not None:
            (tmp_path / "a.png").write_bytes(damaged)
        assert gallery(tmp_path).fill(drawn, 2)
        assert {name: content for name, (content, _) in state(tmp_path).items()} == expected


def test_another_plan_is_refused_by_name_if_there_is_an_image(tmp_path):
    with pytest.raises(ModelError):
        gallery(tmp_path).fill(one, 2)
    before = state(tmp_path)
    check_folder(tmp_path)
    other = [["x.png"]]
    with pytest.raises(StoreError, match="differs in seed, word; move .* or use another folder"):
        Gallery(tmp_path, {"seed": 1, "word": "cat"}, other, SETTINGS)
    assert state(tmp_path) == before


def test_another_plan_takes_the_place_of_one_without_an_image(tmp_path):
    with pytest.raises(ModelError):
        gallery(tmp_path, {"batch_size": 8}).fill(fail, 2)
    check_folder(tmp_path)
    assert gallery(tmp_path).fill(drawn, 2)
    assert json.loads((tmp_path / "plan.json").read_bytes()) == PLAN


def test_a_plan_that_changed_before_the_folder_was_locked_is_refused(tmp_path):
    mine, other = gallery(tmp_path), gallery(tmp_path, {"seed": 1})
    with pytest.raises(ModelError):
        other.fill(one, 2)
    with pytest.raises(StoreError, match="differs in seed"):
        mine.fill(never, 2)


def test_images_of_several_versions_are_not_mixed(tmp_path, installed):
    with pytest.raises(ModelError):
        gallery(tmp_path).fill(one, 2)
    installed("torch", "99.1")
    with pytest.raises(StoreError, match="of other versions: torch .* use another folder"):
        gallery(tmp_path).fill(never, 2)


@pytest.mark.parametrize(
    "there", [["notes.txt"], ["a.png", "settings.json"], ["plan.json", "ledger"]]
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(StoreError, match="already exists, and holds something else; remove it"):
        check_folder(tmp_path)


def test_a_caption_never_reaches_its_neighbor():
    white = [Image.new("RGB", (20, 10), "white")] * 2
    sheet = np.asarray(contact_sheet(white, ["M" * 40, ""], 2))
    assert (sheet[:, : 20 + MARGIN] < 255).any()
    assert (sheet[:, 20 + MARGIN :] == 255).all()


def test_an_image_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ModelError):
        gallery(tmp_path).fill(one, 2)
    (tmp_path / "c.png").mkdir()
    with pytest.raises(StoreError, match="cannot read the finished unit .*c.png"):
        gallery(tmp_path).fill(drawn, 2)
