import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.miniature import rendering
from hrvlab.miniature.rendering import SIDE, render, render_with_masks
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


@pytest.mark.parametrize("index", range(6))
def test_a_larger_image_shows_the_same_scene(index):
    scene = sample_scene(1, index)
    large = render(scene, 2 * SIDE)
    assert large.shape == (2 * SIDE, 2 * SIDE, 3)
    small = large.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))
    assert np.abs(small - render(scene)).mean() < (40 if scene.style else 12)


def test_the_mask_of_a_figure_is_where_the_image_changes_with_it():
    scenes = [Scene((Figure(OBJECT_BY_NAME["car"], color=c),), seed=3) for c in ("red", "blue")]
    red, blue = (render_with_masks(scene) for scene in scenes)
    changed = np.abs(red.image.astype(int) - blue.image).max(-1) > 60
    assert (changed <= red.figures[0]).mean() > 0.99
    np.testing.assert_array_equal(red.figures, blue.figures)
    np.testing.assert_array_equal(red.background, ~red.figures[0])
    assert not red.weather.any()


def test_two_figures_have_masks_of_their_own_and_copies_share_one():
    cat, car = (Figure(OBJECT_BY_NAME[name]) for name in ("cat", "car"))
    pair = render_with_masks(Scene((cat, car), seed=1))
    columns = [np.flatnonzero(mask.any(0)) for mask in pair.figures]
    assert columns[0].max() < columns[1].min() + 6
    assert not (pair.figures[0] & pair.figures[1]).any()
    three = render_with_masks(Scene((cat,), count=3, seed=1))
    assert three.figures.shape == (1, SIDE, SIDE)
    assert three.figures.sum() > 2 * pair.figures[0].sum()


def test_weather_covers_what_figures_leave_and_falls_in_front_of_them():
    car = (Figure(OBJECT_BY_NAME["car"], size="huge"),)
    snowy = render_with_masks(Scene(car, weather="snowy", seed=1))
    assert (snowy.weather >= snowy.background).all()
    flakes = snowy.weather & ~snowy.background
    assert flakes.any()
    assert (snowy.image[flakes] == 255).all()
    assert not (flakes & snowy.figures[0]).any()
    foggy = render_with_masks(Scene(car, weather="foggy", seed=1))
    np.testing.assert_array_equal(foggy.weather, foggy.background)
