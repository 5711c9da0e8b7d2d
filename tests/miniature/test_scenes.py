import itertools
import re

import numpy as np
import pytest

from hrvlab.miniature import world
from hrvlab.miniature.dataset import HELD_OUT_WORLD, TRAINING_WORLD, captions_of, held_out_captions
from hrvlab.miniature.scenes import caption, sample_scene

SCENES = [sample_scene(TRAINING_WORLD, index) for index in range(3000)]


def test_a_scene_depends_on_its_key_alone():
    assert sample_scene(1, 7) == SCENES[7]
    assert sample_scene(1, 7) != sample_scene(2, 7)


def test_held_out_pairs_do_not_occur_in_training():
    pairs = {(figure.color, figure.object.word) for scene in SCENES for figure in scene.figures}
    assert not pairs & world.HELD_OUT_PAIRS


def test_a_color_never_goes_with_the_object_of_its_own_name():
    assert not [f for scene in SCENES for f in scene.figures if f.color == f.object.word]


def test_every_object_and_attribute_occurs():
    figures = [figure for scene in SCENES for figure in scene.figures]
    assert {f.object for f in figures} == set(world.OBJECTS)
    assert {f.color for f in figures} == {None, *world.COLORS}
    assert {f.pattern for f in figures} == {None, *world.PATTERNS}
    assert {f.material for f in figures} == {None, *world.MATERIALS}
    assert {scene.style for scene in SCENES} == {None, *world.STYLES}
    assert {scene.weather for scene in SCENES} == {None, *world.WEATHERS}
    assert {scene.landscape for scene in SCENES} == {None, *world.LANDSCAPES}
    assert {scene.count for scene in SCENES} == {1, 2, 3, 4}


def mentioned(words, text):
    """Return which of the words are in a text, not counting "rose-colored" as "rose"."""
    return {word for word in words if re.search(rf"(?<![\w-]){word}(?![\w-])", text)}


@pytest.mark.parametrize("seed", range(3))
def test_captions_are_true_of_their_scenes(seed):
    rng = np.random.default_rng(seed)
    for scene in SCENES[:1000]:
        text = caption(scene, rng)
        figures = scene.figures
        assert mentioned(world.PLAIN_COLORS, text) <= {f.color for f in figures}, text
        assert mentioned(world.PATTERNS, text) <= {f.pattern for f in figures}, text
        assert mentioned(world.SIZES, text) <= {f.size for f in figures}, text
        assert mentioned(world.MATERIALS, text) <= {f.material for f in figures}, text
        assert mentioned(world.STYLES, text) <= {scene.style}, text
        assert mentioned(world.WEATHERS, text) <= {scene.weather}, text
        assert mentioned(world.LANDSCAPES, text) <= {scene.landscape}, text
        counts = {world.COUNTS[word] for word in mentioned(world.COUNTS, text)}
        assert counts <= {scene.count}, text


def test_a_caption_of_several_words_is_complete():
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
            assert figure.object.word in text or figure.object.plural in text, text
        assert all(word in text for word in wanted if word), text
        if scene.count > 1:
            assert mentioned(world.COUNTS, text), text
    assert sentences > 800


def test_captions_use_the_right_article():
    rng = np.random.default_rng(0)
    for text in captions_of(np.arange(2000), rng):
        words = text.split()
        for word, after in itertools.pairwise(words):
            if word in ("a", "an"):
                assert (word == "an") == (after[0] in "aeiou"), text


def test_held_out_captions_are_distinct_and_of_another_world():
    texts = held_out_captions(50)
    assert len(set(texts)) == 50
    assert all(" " in text for text in texts)
    assert HELD_OUT_WORLD != TRAINING_WORLD


def test_two_objects_are_common_and_often_both_are_colored():
    pairs = [scene for scene in SCENES if len(scene.figures) == 2]
    colored = [scene for scene in pairs if all(figure.color for figure in scene.figures)]
    assert 0.16 < len(pairs) / len(SCENES) < 0.20
    assert len(colored) / len(SCENES) > 0.04
    assert sum(len({f.color for f in scene.figures}) == 2 for scene in colored) > 100
