from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrvlab.errors import TokenError
from hrvlab.models.alignment import align, kept_words
from tests.pipelines import tiny_sd, tiny_tokenizer

PIPE = tiny_sd()
PIPE.tokenizer = tiny_tokenizer(14)
# "zebra" is five tokens here, every other word is one.


def test_words_with_equally_many_tokens_align_one_by_one():
    aligned = align(PIPE, "a red car", "a blue car")
    mapper, replaced = aligned.mapper, aligned.new
    np.testing.assert_array_equal(mapper, np.eye(14))
    assert replaced == [2]


def test_columns_after_a_longer_word_are_shifted():
    aligned = align(PIPE, "a cat on tree", "a zebra on tree")
    mapper, replaced = aligned.mapper, aligned.new
    assert replaced == [2, 3, 4, 5, 6]
    np.testing.assert_allclose(mapper[2, 2:7], 1 / 5)
    assert mapper[3, 7] == mapper[4, 8] == mapper[5, 9] == 1


def test_columns_after_a_shorter_word_are_shifted():
    aligned = align(PIPE, "a zebra on tree", "a cat on tree")
    mapper, replaced = aligned.mapper, aligned.new
    assert replaced == [2]
    np.testing.assert_allclose(mapper[2:7, 2], 1)
    assert mapper[7, 3] == mapper[8, 4] == mapper[9, 5] == 1


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a cat on tree", "a zebra on tree"),
        ("a zebra on tree", "a cat on tree"),
        ("a red zebra", "a blue cat"),
    ],
)
def test_the_attention_of_every_source_column_is_preserved(source, target):
    mapper = align(PIPE, source, target).mapper
    np.testing.assert_allclose(mapper.sum(1), 1)


def test_the_published_mapping_does_not_shift_later_words():
    mapper = align(PIPE, "a cat on tree", "a zebra on tree", "published").mapper
    np.testing.assert_allclose(mapper[2, 2:7], 1 / 5)
    np.testing.assert_array_equal(mapper[7:, 7:], np.eye(7))
    assert not mapper[3:7].any()


def test_both_mappings_agree_where_every_word_keeps_its_length():
    pair = ("a photo of a red car", "a style of a blue car")
    words, published = (align(PIPE, *pair, method).mapper for method in ("words", "published"))
    np.testing.assert_array_equal(words, published)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a red car", "a Red  car", "replace, add or drop a word"),
        ("a red car", "a red zebrazebrazebra", "do not hold all words"),
        ("", "", "at least one word"),
    ],
)
def test_prompts_that_do_not_align_are_refused(source, target, message):
    with pytest.raises(TokenError, match=message):
        align(PIPE, source, target)


def test_the_published_mapping_takes_no_other_number_of_words():
    with pytest.raises(TokenError, match="the source has 3 words and the target 2, which the pub"):
        align(PIPE, "a red car", "a car", "published")


def sources_of(mapper):
    """The source columns of every target column up to the end token's."""
    return [np.flatnonzero(column).tolist() for column in mapper.T]


@pytest.mark.parametrize(
    ("source", "target", "sources", "new", "added"),
    [
        ("a car", "a red car", [[0], [1], [], [2], [3]], [2], [2]),
        ("a red car", "a car", [[0], [1], [3], [4]], [], []),
        ("a red car", "a blue and rose car", [[0], [1], [], [], [], [3], [4]], *[[2, 3, 4]] * 2),
        ("a blue and rose car", "a red car", [[0], [1], [], [5], [6]], [2], [2]),
        ("a red car", "a blue car on day", [[0], [1], [2], [3], [], [], [4]], [2, 4, 5], [4, 5]),
        ("red, car", "blue, red car.", [[0], [1], [2], [], [3], [], [4]], [1, 3, 5], [3, 5]),
        ("a cat, red", "a cat on day, red", [[0], [1], [2], [], [], [3], [4], [5]], *[[3, 4]] * 2),
        ("red and blue", "blue and red", [[0], [1], [2], [3], [4]], [1, 3], []),
        ("猫 car", "犬 car", [[0], [1], [2], [3], [4], [5]], [1, 2, 3], []),
    ],
)
def test_kept_words_take_their_columns_and_added_ones_none(source, target, sources, new, added):
    aligned = align(PIPE, source, target)
    assert sources_of(aligned.mapper)[: len(sources)] == sources
    assert (aligned.new, aligned.added) == (new, added)


def test_texts_without_spaces_are_aligned_character_by_character():
    aligned = align(PIPE, "黒猫車", "黒犬い車")  # every character is three tokens here
    assert sources_of(aligned.mapper)[:12] == [[0], [1], [2], [3], *[[]] * 6, [7], [8]]
    assert aligned.added == [4, 5, 6, 7, 8, 9]


@given(*[st.lists(st.sampled_from("abc"), max_size=6)] * 2)
def test_as_many_words_are_kept_as_can_be(source, target):
    kept = kept_words(source, target)
    assert all(source[i] == target[j] for i, j in kept)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(kept))
    common = [
        chosen
        for count in range(len(source) + 1)
        for chosen in combinations(source, count)
        if is_within(chosen, target)
    ]
    assert len(kept) == max(map(len, common))


def is_within(chosen, target):
    rest = iter(target)
    return all(word in rest for word in chosen)
