import numpy as np
import pytest

import hrvlab as hl
from hrvlab.models.tokens import token_table, word_columns
from hrvlab.words import group_columns, number_words
from tests.pipelines import tiny_sd

PIPE = tiny_sd()
PROMPTS = {
    "a very very tall house": ["a", "very", "very (2)", "tall", "house"],
    "red, red, car": ["red,", "red, (2)", "car"],
    "a red car and a red cat": ["a", "red", "car", "and", "a (2)", "red (2)", "cat"],
    "zebra zebra zebra": ["zebra", "zebra (2)", "zebra (3)"],
    "!! !! !": ["!!", "!! (2)", "!"],
    "red (2) red": ["red", "(2)", "red (2)"],
    "⟨end⟩ car": ["⟨end⟩ (2)", "car"],
    "猫猫犬 a a 猫": ["猫", "猫 (2)", "犬", "a", "a (2)", "猫 (3)"],
}
STEPS = {"num_inference_steps": 1, "progress": False}


def words_of(parts):
    return [name for name in parts if name not in ("⟨start⟩", "⟨end⟩", "⟨padding⟩")]


def columns_of(prompt):
    table = token_table(PIPE, prompt)
    kinds, words, texts = zip(*((t.kind, t.word, t.text) for t in table), strict=True)
    return group_columns(kinds, words, number_words(kinds, words, texts, prompt))


@pytest.mark.parametrize(("prompt", "words"), PROMPTS.items())
def test_every_word_is_a_part_and_a_repeated_one_has_its_number(prompt, words):
    parts = columns_of(prompt)
    assert words_of(parts) == words
    columns = [column for own in parts.values() for column in own]
    assert columns == list(range(PIPE.tokenizer.model_max_length))


def test_equal_neighbors_share_their_columns_evenly_also_where_the_prompt_is_cut_off():
    parts = columns_of("zebra " * 40)
    *whole, last = (columns for name, columns in parts.items() if name.startswith("zebra"))
    assert len({len(columns) for columns in whole}) == 1
    assert len(last) <= len(whole[0])
    assert len(whole) > 2


def test_a_kind_that_occurs_again_gets_a_number():
    kinds = ["start", "content", "end", "start", "content", "end"]
    words = ["", "red", "", "", "car", ""]
    parts = group_columns(kinds, words, [-1, 0, -1, -1, 1, -1])
    assert list(parts) == ["⟨start⟩", "red", "⟨end⟩", "⟨start⟩ (2)", "car", "⟨end⟩ (2)"]


def test_the_parts_of_a_capture_are_its_words_and_sum_to_one(tiny_pipe):
    captured = hl.capture(tiny_pipe, list(PROMPTS), **STEPS)
    for number, words in enumerate(PROMPTS.values()):
        by_word = hl.attention_by_word(captured, number)
        assert words_of(by_word["part"].values.tolist()) == words
        np.testing.assert_allclose(by_word.sum("part"), 1, atol=1e-5)


def test_words_that_the_capture_numbered_are_told_apart_by_their_numbers(tiny_pipe):
    captured = hl.capture(tiny_pipe, "a red red car", **STEPS)
    numbers = np.full((1, 20), -1)
    numbers[0, 1:5] = [0, 1, 1, 2]
    numbered = captured.assign_coords(word_number=(("prompt", "token"), numbers))
    assert words_of(hl.attention_by_word(numbered)["part"].values) == ["a", "red", "car"]


@pytest.mark.parametrize("prompt", ["a very very tall house", "red, red, car", "a red a red cat"])
def test_a_part_is_found_by_its_name(prompt):
    for name, columns in columns_of(prompt).items():
        if "(" in name:
            assert word_columns(PIPE, prompt, name) == columns
