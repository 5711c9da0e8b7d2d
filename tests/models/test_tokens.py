import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from hrvlab.errors import HrvlabWarning, TokenError
from hrvlab.models.tokens import content_columns, prompt_words, token_table, word_columns
from tests.pipelines import WORDS, tiny_sd, tiny_sdxl, tiny_tokenizer

PIPE = tiny_sd()


def with_marks(**special):
    """Build a tokenizer that has one token for two exclamation marks, as CLIP's has."""
    return tiny_tokenizer(words=f"{WORDS} !!", **special)


def text_at(prompt, columns):
    table = token_table(PIPE, prompt)
    return "".join(table[c].text for c in columns).replace("</w>", "")


def test_every_column_has_its_kind():
    kinds = [token.kind for token in token_table(PIPE, "a red car")]
    assert kinds == ["start", *["content"] * 3, "end", *["padding"] * 15]


def test_a_token_knows_its_space_separated_word():
    words = [token.word for token in token_table(PIPE, "a red-blue car.")][1:7]
    assert words == ["a", "red-blue", "red-blue", "red-blue", "car.", "car."]


def test_a_word_of_one_token_has_one_column():
    assert word_columns(PIPE, "a red car", "red") == [2]


def test_letter_case_and_punctuation_do_not_matter():
    assert word_columns(PIPE, "A Red, red car", "red") == [2, 4]


def test_a_word_of_several_tokens_has_all_its_columns():
    columns = word_columns(PIPE, "a zebra on a car", "zebra")
    assert len(columns) > 1
    assert text_at("a zebra on a car", columns) == "zebra"


def test_a_phrase_matches_across_any_spaces():
    assert word_columns(PIPE, "a photo  of a cat", "photo of") == [2, 3]


def test_a_part_of_a_word_does_not_match():
    with pytest.raises(TokenError, match="'car' is not a word of the prompt 'a cart'"):
        word_columns(PIPE, "a cart", "car")


def test_the_part_of_a_hyphenated_word_matches():
    assert word_columns(PIPE, "a rose-red vase", "rose") == [2]


def test_an_absent_word_names_the_words_there_are():
    with pytest.raises(TokenError, match="its words are: a, red, car"):
        word_columns(PIPE, "a red car", "blue")


def test_an_empty_word_is_refused():
    with pytest.raises(TokenError, match="empty"):
        word_columns(PIPE, "a red car", " ")


def test_a_truncated_word_is_refused():
    prompt = " ".join(["red"] * 25 + ["car"])
    with pytest.raises(TokenError, match="beyond the 20 tokens"):
        word_columns(PIPE, prompt, "car")


def test_a_prompt_without_words_has_no_content():
    with pytest.raises(TokenError, match="no words"):
        content_columns(PIPE, "")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=4))
def test_the_words_of_a_prompt_share_out_its_content(words):
    prompt = " ".join(words)
    columns = [c for word in set(words) for c in word_columns(PIPE, prompt, word)]
    assert sorted(columns) == content_columns(PIPE, prompt)


def test_the_end_and_the_padding_are_found_by_their_names():
    assert word_columns(PIPE, "a red car", "⟨end⟩") == [4]
    assert word_columns(PIPE, "a red car", "⟨padding⟩") == list(range(5, 20))


def test_one_occurrence_is_found_by_its_number():
    prompt = "a red car and a Red cat"
    assert word_columns(PIPE, prompt, "red") == [2, 6]
    assert word_columns(PIPE, prompt, "red (1)") == [2]
    assert word_columns(PIPE, prompt, "red (2)") == [6]
    assert word_columns(PIPE, prompt, "a red  (2)") == [5, 6]


def test_a_number_that_the_prompt_says_is_a_word_of_it():
    prompt = "red red red (2)"
    assert text_at(prompt, word_columns(PIPE, prompt, "red (2)")) == "red(2)"


@pytest.mark.parametrize("word", ["red (3)", "red (0)"])
def test_an_occurrence_that_the_prompt_lacks_is_refused(word):
    with pytest.raises(TokenError, match="'red' occurs 2 times in it"):
        word_columns(PIPE, "a red car and a red cat", word)


def test_an_occurrence_of_an_absent_word_names_the_words_there_are():
    with pytest.raises(TokenError, match=r"'blue \(2\)' is not a word .* its words are: a, red"):
        word_columns(PIPE, "a red car", "blue (2)")


MARKED = "a cat!! on a car!"


@pytest.mark.parametrize(
    ("special", "words"),
    [
        ({}, ["a", "cat!!", "cat!!", "on", "a", "car!", "car!"]),
        ({"pad_token": "!"}, ["a", "cat!!", "cat!!", "cat!!", "on", "a", "car!", "car!"]),
    ],
    ids=["usual padding", "padding with marks"],
)
def test_marks_that_are_also_padding_belong_to_their_word(special, words):
    pipe = tiny_sd()
    pipe.tokenizer = with_marks(**special)
    table = token_table(pipe, MARKED)
    assert [token.word for token in table if token.kind == "content"] == words
    assert [token.kind for token in table][len(words) + 1 :][0] == "end"
    assert word_columns(pipe, MARKED, "car") == [words.index("car!") + 1]


def test_where_a_second_tokenizer_has_other_columns_a_warning_says_from_where_on():
    pipe = tiny_sdxl()
    pipe.tokenizer, pipe.tokenizer_2 = with_marks(), with_marks(pad_token="!")
    with pytest.warns(HrvlabWarning, match="'a cat!! on a car!' differently, .* column 3 on"):
        token_table(pipe, MARKED)
    assert token_table(pipe, "a cat! on a car")[3].word == "cat!"


def test_any_part_of_a_text_without_spaces_has_the_columns_that_overlap_it():
    prompt = "黒猫 on 赤い車"  # every character is three tokens here
    assert word_columns(PIPE, prompt, "猫") == [4, 5, 6]
    assert word_columns(PIPE, prompt, "黒猫") == [1, 2, 3, 4, 5, 6]
    assert word_columns(PIPE, prompt, "い車") == [11, 12, 13, 14, 15, 16]
    words = [token.word for token in token_table(PIPE, prompt)][1:17]
    assert words == [*"黒黒黒猫猫猫", "on", *"赤赤赤いいい車車車"]
    with pytest.raises(TokenError, match="its words are: 黒, 猫, on, 赤, い, 車"):
        word_columns(PIPE, prompt, "犬")


def sharing():
    """A pipeline in whose vocabulary the last byte of 猫 and the first of と are one token."""
    alphabet = sorted(ByteLevel.alphabet())
    written = ByteLevel(add_prefix_space=False).pre_tokenize_str("猫と")[0][0]
    merge = (written[2], written[3])
    special = ["<|startoftext|>", "<|endoftext|>"]
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet), "".join(merge), *special]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    pipe = tiny_sd()
    pipe.tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[merge], model_max_length=20)
    return pipe


def test_characters_that_share_a_token_share_its_column_and_are_one_word():
    pipe = sharing()
    assert word_columns(pipe, "猫と犬", "猫") == [1, 2, 3]
    assert word_columns(pipe, "猫と犬", "と") == [3, 4, 5]
    assert [(word.text, word.columns) for word in prompt_words(pipe, "猫と犬")] == [
        ("猫と", [1, 2, 3, 4, 5]),
        ("犬", [6, 7, 8]),
    ]
    assert [token.word for token in token_table(pipe, "猫と犬")][1:9] == ["猫と"] * 5 + ["犬"] * 3


def test_a_character_of_which_only_some_tokens_are_taken_is_truncated():
    prompt = "a 黒猫犬車赤花"  # 19 tokens, of which the model takes 18
    assert word_columns(PIPE, prompt, "赤") == [14, 15, 16]
    with pytest.raises(TokenError, match="beyond the 20 tokens"):
        word_columns(PIPE, prompt, "花")
    words = prompt_words(PIPE, prompt)
    assert [word.text for word in words if not word.whole] == ["花"]
    assert words[-1].columns == [17, 18]


def test_of_a_word_that_occurs_again_beyond_the_limit_the_columns_are_that_are_there():
    prompt = "red " + "blue " * 17 + "red"
    assert word_columns(PIPE, prompt, "red") == [1]
    with pytest.raises(TokenError, match="beyond the 20 tokens"):
        word_columns(PIPE, prompt, "red (2)")


def test_words_beyond_the_limit_have_no_columns():
    words = prompt_words(PIPE, " ".join(["red"] * 17 + ["zebra", "car"]))
    assert [(word.text, word.columns, word.whole) for word in words[16:]] == [
        ("red", [17], True),
        ("zebra", [18], False),
        ("car", [], False),
    ]
