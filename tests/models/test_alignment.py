import numpy as np
import pytest

from hrvlab.errors import TokenError
from hrvlab.models.alignment import align
from tests.pipelines import tiny_sd, tiny_tokenizer

PIPE = tiny_sd()
PIPE.tokenizer = tiny_tokenizer(12)
# "zebra" is five tokens here, every other word is one.


def test_words_with_equally_many_tokens_align_one_by_one():
    mapper, replaced = align(PIPE, "a red car", "a blue car")
    np.testing.assert_array_equal(mapper, np.eye(12))
    assert replaced == [2]


def test_columns_after_a_longer_word_are_shifted():
    mapper, replaced = align(PIPE, "a cat on tree", "a zebra on tree")
    assert replaced == [2, 3, 4, 5, 6]
    np.testing.assert_allclose(mapper[2, 2:7], 1 / 5)
    assert mapper[3, 7] == mapper[4, 8] == mapper[5, 9] == 1


def test_columns_after_a_shorter_word_are_shifted():
    mapper, replaced = align(PIPE, "a zebra on tree", "a cat on tree")
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
    mapper, _ = align(PIPE, source, target)
    np.testing.assert_allclose(mapper.sum(1), 1)


def test_the_published_mapping_does_not_shift_later_words():
    mapper, _ = align(PIPE, "a cat on tree", "a zebra on tree", "published")
    np.testing.assert_allclose(mapper[2, 2:7], 1 / 5)
    np.testing.assert_array_equal(mapper[7:, 7:], np.eye(5))
    assert not mapper[3:7].any()


def test_both_mappings_agree_where_every_word_keeps_its_length():
    pair = ("a photo of a red car", "a style of a blue car")
    words, published = (align(PIPE, *pair, method)[0] for method in ("words", "published"))
    np.testing.assert_array_equal(words, published)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a red car", "a car", "the source has 3 words and the target 2"),
        ("a red car", "a red car", "replace at least one word"),
        ("a red car", "a red zebrazebrazebra", "do not hold all words"),
        ("", "", "at least one word"),
    ],
)
def test_prompts_that_do_not_align_are_refused(source, target, message):
    with pytest.raises(TokenError, match=message):
        align(PIPE, source, target)
