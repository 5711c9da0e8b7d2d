import itertools
import re

import numpy as np
import pytest

from hrvlab.miniature import world
from hrvlab.miniature.pictures import HELD_OUT_WORLD, TRAINING_WORLD, captions_of, held_out_captions
from hrvlab.miniature.scenes import caption, sample_scene
from hrvlab.prompts import read_prompts

SCENES = [sample_scene(TRAINING_WORLD, index) for index in range(3000)]


def test_a_scene_depends_on_its_key_alone():
    assert sample_scene(1, 7) == SCENES[7]
    assert sample_scene(1, 7) != sample_scene(2, 7)


def test_held_out_pairs_are_never_drawn_in_training():
    pairs = {(figure.color, figure.thing.word) for scene in SCENES for figure in scene.figures}
    assert not pairs & world.HELD_OUT_PAIRS


def test_a_colour_never_goes_with_the_thing_of_its_own_name():
    assert not [f for scene in SCENES for f in scene.figures if f.color == f.thing.word]


def test_every_thing_and_attribute_occurs():
    figures = [figure for scene in SCENES for figure in scene.figures]
    assert {f.thing for f in figures} == set(world.THINGS)
    assert {f.color for f in figures} == {None, *world.COLORS}
    assert {f.pattern for f in figures} == {None, *world.PATTERNS}
    assert {f.material for f in figures} == {None, *world.MATERIALS}
    assert {scene.style for scene in SCENES} == {None, *world.STYLES}
    assert {scene.weather for scene in SCENES} == {None, *world.WEATHERS}
    assert {scene.landscape for scene in SCENES} == {None, *world.LANDSCAPES}
    assert {scene.count for scene in SCENES} == {1, 2, 3, 4}


@pytest.mark.parametrize("seed", range(3))
def test_captions_say_what_is_true(seed):
    rng = np.random.default_rng(seed)
    attributes = {*world.MATERIALS, *world.STYLES, *world.WEATHERS, *world.LANDSCAPES}
    for scene in SCENES[:1000]:
        text = caption(scene, rng)
        true = {scene.style, scene.weather, scene.landscape}
        true |= {figure.material for figure in scene.figures}
        said = {word for word in attributes if re.search(rf"\b{word}\b", text)}
        assert said <= true, text
        if " " in text and "day" not in text and len(text.split()) > 2:
            assert all(figure.thing.word[:-1] in text for figure in scene.figures), text


def test_captions_use_the_right_article():
    rng = np.random.default_rng(0)
    for text in captions_of(np.arange(2000), rng):
        words = text.split()
        for word, after in itertools.pairwise(words):
            if word in ("a", "an"):
                assert (word == "an") == (after[0] in "aeiou"), text


def test_the_shipped_prompts_are_captions_of_held_out_scenes():
    assert read_prompts("miniature") == held_out_captions(256)
    assert HELD_OUT_WORLD != TRAINING_WORLD
