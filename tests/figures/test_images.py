import numpy as np
import pytest

from hrvlab.figures import image_grid


@pytest.mark.parametrize("count", [1, 5, 7])
def test_every_image_is_shown_once(count):
    images = np.random.default_rng(0).integers(0, 255, (count, 4, 4, 3), np.uint8)
    figure = image_grid(images, [f"image {i}" for i in range(count)], title="x")
    np.testing.assert_array_equal([trace.z for trace in figure.data], images)
    assert [a.text for a in figure.layout.annotations] == [f"image {i}" for i in range(count)]


def test_markup_in_a_caption_is_made_harmless():
    figure = image_grid(np.zeros((1, 4, 4, 3), np.uint8), ["<b>&amp;"], title="x")
    assert figure.layout.annotations[0].text == "&lt;b>&amp;amp;"
