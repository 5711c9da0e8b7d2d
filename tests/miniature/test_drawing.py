import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.miniature import drawing
from hrvlab.miniature.drawing import SIDE, draw
from hrvlab.miniature.scenes import Figure, Scene, sample_scene
from hrvlab.miniature.world import THING_BY_NAME

pytestmark = pytest.mark.font


def test_drawing_a_scene_again_gives_the_same_picture():
    scene = sample_scene(1, 3)
    np.testing.assert_array_equal(draw(scene), draw(scene))


def test_a_picture_is_64_by_64_colours():
    picture = draw(sample_scene(1, 0))
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize(
    "change",
    [
        {"style": "sepia"},
        {"weather": "rainy"},
        {"landscape": "forest"},
        {"count": 3},
        {"figures": (Figure(THING_BY_NAME["car"], color="blue"),)},
        {"figures": (Figure(THING_BY_NAME["car"], pattern="stripe"),)},
        {"figures": (Figure(THING_BY_NAME["car"], material="wood"),)},
        {"figures": (Figure(THING_BY_NAME["car"], size="tiny"),)},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_every_attribute_shows(change):
    plain = {"figures": (Figure(THING_BY_NAME["car"]),), "seed": 5}
    before, after = draw(Scene(**plain)), draw(Scene(**plain | change))
    assert np.abs(before.astype(int) - after).mean() > 1


def test_a_colour_is_the_colour_of_the_thing():
    red, blue = (
        draw(Scene((Figure(THING_BY_NAME["circle"], color=color),), seed=1))[32, 32]
        for color in ("red", "blue")
    )
    assert red.argmax() == 0
    assert blue.argmax() == 2


def test_a_missing_font_is_an_error_that_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(drawing, "FONT", tmp_path / "none.ttf")
    with pytest.raises(StoreError, match="install Debian's package fonts-noto-color-emoji"):
        drawing.check_font()
