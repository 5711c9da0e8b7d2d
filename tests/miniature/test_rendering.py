import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.miniature import rendering
from hrvlab.miniature.rendering import SIDE, render
from hrvlab.miniature.scenes import Figure, Scene, sample_scene
from hrvlab.miniature.world import OBJECT_BY_NAME

pytestmark = pytest.mark.font


def test_rendering_a_scene_again_yields_the_same_image():
    scene = sample_scene(1, 3)
    np.testing.assert_array_equal(render(scene), render(scene))


def test_an_image_is_64_by_64_pixels_of_rgb():
    image = render(sample_scene(1, 0))
    assert image.shape == (SIDE, SIDE, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    "change",
    [
        {"style": "sepia"},
        {"weather": "rainy"},
        {"landscape": "forest"},
        {"count": 3},
        {"figures": (Figure(OBJECT_BY_NAME["car"], color="blue"),)},
        {"figures": (Figure(OBJECT_BY_NAME["car"], pattern="stripe"),)},
        {"figures": (Figure(OBJECT_BY_NAME["car"], material="wood"),)},
        {"figures": (Figure(OBJECT_BY_NAME["car"], size="tiny"),)},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_every_attribute_changes_the_image(change):
    plain = {"figures": (Figure(OBJECT_BY_NAME["car"]),), "seed": 5}
    before, after = render(Scene(**plain)), render(Scene(**plain | change))
    assert np.abs(before.astype(int) - after).mean() > 1


def test_an_object_has_its_color():
    red, blue = (
        render(Scene((Figure(OBJECT_BY_NAME["circle"], color=color),), seed=1))[32, 32]
        for color in ("red", "blue")
    )
    assert red.argmax() == 0
    assert blue.argmax() == 2


def test_a_missing_font_is_an_error_that_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(rendering, "FONT", tmp_path / "none.ttf")
    with pytest.raises(StoreError, match="install Debian's package fonts-noto-color-emoji"):
        rendering.check_font()
