from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hrvlab.figures import image_grid, image_table


def shown(figure):
    """Decode the images in a figure's traces."""
    sources = [trace.source.removeprefix("data:image/png;base64,") for trace in figure.data]
    return [np.asarray(Image.open(BytesIO(b64decode(source)))) for source in sources]


@pytest.mark.parametrize("count", [1, 5, 7])
def test_every_image_is_shown_once(count):
    images = np.random.default_rng(0).integers(0, 255, (count, 4, 4, 3), np.uint8)
    figure = image_grid(images, [f"image {i}" for i in range(count)], title="x")
    np.testing.assert_array_equal(shown(figure), images)
    assert [a.text for a in figure.layout.annotations] == [f"image {i}" for i in range(count)]


def test_markup_in_a_caption_is_escaped():
    figure = image_grid(np.zeros((1, 4, 4, 3), np.uint8), ["<b>&amp;"], title="x")
    assert figure.layout.annotations[0].text == "&lt;b>&amp;amp;"


@pytest.mark.parametrize(
    "show",
    [
        lambda images, **marks: image_grid(images, ["a", "b", "c"], title="x", **marks),
        lambda images, **marks: image_table(images, ["a"], ["b", "c", "d"], title="x", **marks),
    ],
)
def test_a_withheld_image_is_marked(show):
    images = np.zeros((3, 4, 8, 3), np.uint8)
    assert not [a for a in show(images).layout.annotations if "withheld" in a.text]
    figure = show(images, withheld=[False, True, False])
    (mark,) = [a for a in figure.layout.annotations if "withheld" in a.text]
    assert (mark.x, mark.y, mark.xref, mark.yref) == (4, 2, "x2", "y2")


def test_a_table_shows_every_image_in_its_row_and_column_and_escapes_labels():
    images = np.random.default_rng(0).integers(0, 255, (6, 4, 4, 3), np.uint8)
    figure = image_table(images, ["MoRHF", "<i>"], ["0%", "50%", "100%"], title="<b>")
    np.testing.assert_array_equal(shown(figure), images)
    assert figure.layout.title.text == "&lt;b>"
    assert {a.text for a in figure.layout.annotations} == {"MoRHF", "&lt;i>", "0%", "50%", "100%"}
