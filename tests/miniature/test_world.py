from collections import Counter

from hrvlab.concepts import ConceptSet
from hrvlab.miniature import world


def test_the_shipped_concepts_are_those_of_the_world():
    assert ConceptSet.read("miniature").to_dict() == world.concept_words()


def test_concepts_have_at_least_four_words_and_share_none():
    words = world.concept_words()
    assert len(words) == 17
    assert min(len(some) for some in words.values()) >= 4
    assert max(Counter(word for some in words.values() for word in some).values()) == 1


def test_every_thing_can_be_named_without_ambiguity():
    assert len(world.THING_BY_NAME) == len(world.THINGS)


def test_ten_words_have_two_senses():
    assert len({*world.POLYSEMOUS_THINGS, *world.COLOR_THINGS}) == 10


def test_held_out_pairs_are_of_this_world():
    words = {thing.word for thing in world.THINGS}
    assert all(color in world.COLORS and word in words for color, word in world.HELD_OUT_PAIRS)
