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


def said(words, text):
    """Which of some words a text holds as they are, "rose-colored" not counting as "rose"."""
    return {word for word in words if re.search(rf"(?<![\w-]){word}(?![\w-])", text)}


@pytest.mark.parametrize("seed", range(3))
def test_captions_say_what_is_true(seed):
    rng = np.random.default_rng(seed)
    for scene in SCENES[:1000]:
        text = caption(scene, rng)
        figures = scene.figures
        assert said(world.PLAIN_COLORS, text) <= {f.color for f in figures}, text
        assert said(world.PATTERNS, text) <= {f.pattern for f in figures}, text
        assert said(world.SIZES, text) <= {f.size for f in figures}, text
        assert said(world.MATERIALS, text) <= {f.material for f in figures}, text
        assert said(world.STYLES, text) <= {scene.style}, text
        assert said(world.WEATHERS, text) <= {scene.weather}, text
        assert said(world.LANDSCAPES, text) <= {scene.landscape}, text
        assert all(world.COUNTS[word] == scene.count for word in said(world.COUNTS, text)), text


def test_a_caption_that_is_a_sentence_leaves_nothing_out():
    rng = np.random.default_rng(0)
    sentences = 0
    for scene in SCENES[:1000]:
        text = caption(scene, rng)
        beginning, *rest = text.split()
        if not rest or beginning not in {"a", "an", *world.COUNTS}:
            continue  # a bare word
        sentences += 1
        wanted = [scene.style, scene.weather, scene.landscape]
        for figure in scene.figures:
            wanted += [figure.color, figure.pattern, figure.material, figure.size]
            thing = figure.thing
            assert thing.word in text or thing.plural in text, text
        assert all(word in text for word in wanted if word), text
        if scene.count > 1:
            assert said(world.COUNTS, text), text
    assert sentences > 800


def test_captions_use_the_right_article():
    rng = np.random.default_rng(0)
    for text in captions_of(np.arange(2000), rng):
        words = text.split()
        for word, after in itertools.pairwise(words):
            if word in ("a", "an"):
                assert (word == "an") == (after[0] in "aeiou"), text


def test_the_shipped_prompts_are_captions_of_held_out_scenes():
    assert read_prompts("miniature") == held_out_captions(512)
    assert HELD_OUT_WORLD != TRAINING_WORLD
