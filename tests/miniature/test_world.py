import re
from collections import Counter

import numpy as np

from hrvlab.inputs.concepts import ConceptSet
from hrvlab.miniature import world
from hrvlab.miniature.dataset import captions_of


def test_the_shipped_concepts_are_those_of_the_world():
    assert ConceptSet.read("miniature").to_dict() == world.concept_words()


def test_concepts_have_at_least_four_words_and_share_none():
    words = world.concept_words()
    assert len(words) == 17
    assert min(len(some) for some in words.values()) >= 4
    assert max(Counter(word for some in words.values() for word in some).values()) == 1


def test_every_object_has_an_unambiguous_name():
    assert len(world.OBJECT_BY_NAME) == len(world.OBJECTS)


def test_ten_words_have_two_senses():
    words = [each.word for each in world.OBJECTS]
    assert len({*(word for word in words if words.count(word) > 1), *world.COLOR_OBJECTS}) == 10


def test_held_out_pairs_are_of_this_world():
    words = {each.word for each in world.OBJECTS}
    assert all(color in world.COLORS and word in words for color, word in world.HELD_OUT_PAIRS)


CAPTIONS = captions_of(np.arange(4000), np.random.default_rng(0))
GRAMMAR = {"a", "an", "and", "day", "in", "made", "of", "on", "painting", "pattern", "photo"}
GRAMMAR |= {"style", "the", "with"}


def test_every_concept_word_occurs_in_the_captions():
    used = " | ".join(CAPTIONS)
    words = [word for some in world.concept_words().values() for word in some]
    assert not [word for word in words if not re.search(rf"\b{word}\b", used)]


def test_captions_use_only_words_of_the_world():
    known = [each.word for each in world.OBJECTS] + [f"{each.word}s" for each in world.OBJECTS]
    known += [name for each in world.OBJECTS for name in (each.cue, each.plural)]
    known += [word for some in world.concept_words().values() for word in some]
    known += [name for color in world.COLOR_OBJECTS for name in (color, f"{color}-colored")]
    used = {word for text in CAPTIONS for word in text.split()}
    assert used <= GRAMMAR | {part for name in known for part in name.split()}
