import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlab.errors import HrvlabWarning, TokenError
from hrvlab.models.tokens import content_columns, token_table, word_columns
from tests.pipelines import WORDS, tiny_sd

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
    pipe = SimpleNamespace(tokenizer=with_marks(**special))
    table = token_table(pipe, MARKED)
    assert [token.word for token in table if token.kind == "content"] == words
    assert [token.kind for token in table][len(words) + 1 :][0] == "end"
    assert word_columns(pipe, MARKED, "car") == [words.index("car!") + 1]


def test_where_a_second_tokenizer_has_other_columns_a_warning_says_from_where_on():
    pipe = SimpleNamespace(tokenizer=with_marks(), tokenizer_2=with_marks(pad_token="!"))
    with pytest.warns(HrvlabWarning, match="'a cat!! on a car!' differently, .* column 3 on"):
        token_table(pipe, MARKED)
    assert token_table(pipe, "a cat! on a car")[3].word == "cat!"
