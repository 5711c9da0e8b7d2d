from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import hrvlab as hl
from hrvlab.widgets.browser import attention_browser, spotlight


@pytest.fixture
def tree(tiny_pipe):
    return hl.capture(tiny_pipe, "a red car", maps=["red", "car"], num_inference_steps=2)


def controls(box):
    found = {w.description: w for row in box.children[1:] for w in row.children}
    return box.children[0], found


def test_a_spotlight_keeps_the_brightest_position_and_darkens_the_rest():
    image = np.full((8, 8, 3), 200, np.uint8)
    lit = spotlight(image, np.array([[0.0, 0.0], [0.0, 3.0]]))
    assert lit[-1, -1].tolist() == [200, 200, 200]
    assert lit[0, 0].tolist() == [30, 30, 30]


def test_the_browser_shows_an_image_at_once(tree):
    image, _ = controls(attention_browser(tree))
    assert Image.open(BytesIO(image.value)).size == (384, 384)


@pytest.mark.parametrize(("height", "width"), [(16, 32), (32, 16)])
def test_an_image_keeps_its_aspect_ratio(tiny_pipe, height, width):
    call = {"num_inference_steps": 1, "height": height, "width": width}
    image, _ = controls(attention_browser(hl.capture(tiny_pipe, "a red car", maps=["red"], **call)))
    shown = Image.open(BytesIO(image.value)).size
    assert shown == (12 * width, 12 * height)
    assert (image.width, image.height) == tuple(map(str, shown))


def test_a_word_is_offered_as_it_is_written(tiny_pipe):
    tree = hl.capture(tiny_pipe, "a red <b> car", maps=["<b>", "red"], num_inference_steps=1)
    _, found = controls(attention_browser(tree))
    assert found["word"].options == (("<b>", 0), ("red", 1))


def test_an_image_without_any_attention_is_dark():
    image = np.full((8, 8, 3), 200, np.uint8)
    assert (spotlight(image, np.zeros((2, 2))) == 30).all()


@pytest.mark.parametrize("control", ["word", "denoiser call", "layer", "head"])
def test_every_control_changes_the_image(tree, control):
    image, found = controls(attention_browser(tree))
    found["layer"].value = 0
    before = image.value
    new = {"word": 1, "denoiser call": 0, "layer": 1, "head": 1}[control]
    found[control].value = new
    assert image.value != before


def test_only_layers_that_were_captured_are_offered(tiny_pipe):
    tree = hl.capture(tiny_pipe, "a red car", maps=["red"], grids=[4], num_inference_steps=2)
    _, found = controls(attention_browser(tree))
    for _, layer in found["layer"].options:
        found["layer"].value = layer
    assert 1 < len(found["layer"].options) < 1 + tree.to_dataset().sizes["layer"]


def test_heads_are_offered_for_one_layer_at_a_time(tree):
    _, found = controls(attention_browser(tree))
    assert len(found["head"].options) == 1
    found["layer"].value = 1
    assert [label for label, _ in found["head"].options] == ["every", "0", "1"]
    found["layer"].value = None
    assert len(found["head"].options) == 1
