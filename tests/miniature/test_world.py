import re
from collections import Counter

import numpy as np

from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.miniature import world
from hrvlab.miniature.dataset import captions_of
from hrvlab.miniature.vocabulary import caption_words
from hrvlab.models.known_words import unknown_words


def test_the_shipped_concepts_are_concepts_of_the_world():
    concepts = world.concept_words()
    shipped = ConceptSet.read("miniature").to_dict()
    assert shipped.keys() == concepts.keys()
    assert all(set(words) <= set(concepts[name]) for name, words in shipped.items())


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


RNG = np.random.default_rng(0)
CAPTIONS = captions_of(np.arange(4000), RNG)


def test_every_concept_word_occurs_in_the_captions():
    used = " | ".join(CAPTIONS)
    words = [word for some in world.concept_words().values() for word in some]
    assert not [word for word in words if not re.search(rf"\b{word}\b", used)]


def test_captions_use_only_words_of_the_world():
    used = {word for text in captions_of(np.arange(20_000), RNG) for word in text.split()}
    assert used == set(caption_words())


def test_the_shipped_prompts_are_made_of_words_of_the_world():
    # Captions had the plural "peachs" when the prompts were made.
    assert unknown_words(read_prompts("miniature"), [*caption_words(), "peachs"]) == {}
