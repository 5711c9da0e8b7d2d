import warnings
from types import SimpleNamespace

import pytest

from hrvlab.errors import UnknownWordsWarning
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.models.known_words import read_known_words, unknown_words, warn_of_unknown_words
from hrvlab.paths import data_path


def model(folder):
    return SimpleNamespace(config=SimpleNamespace(_name_or_path=str(folder)))


def test_unknown_words_are_found_once_and_in_order_with_known_ones_spelled_alike():
    known = ["a", "red", "frog", "car", "T-shirt"]
    found = unknown_words(["a Red dog", "a dog, a CAR and a zebra"], known)
    assert list(found) == ["dog", "and", "zebra"]
    assert found["dog"] == ["frog"]
    assert found["zebra"] == []


@pytest.mark.parametrize("text", ["a polka-dot dress", "a polka dot dress", "A Polka-Dot dress!"])
def test_hyphens_case_and_punctuation_do_not_count(text):
    assert unknown_words([text], ["a", "polka-dot", "dress"]) == {}


def test_a_digit_is_unknown_unless_the_model_lists_it():
    assert list(unknown_words(["3 cats"], ["three", "cats"])) == ["3"]


def test_the_miniature_knows_its_shipped_prompts_and_concepts():
    known = read_known_words()
    texts = read_prompts("miniature")
    texts += [word for some in ConceptSet.read("miniature").to_dict().values() for word in some]
    assert unknown_words(texts, known) == {}


def test_the_miniature_gives_one_warning_of_all_unknown_words():
    with pytest.warns(UnknownWordsWarning) as caught:
        warn_of_unknown_words(
            model(data_path("miniature")), ["a sofa", "a lion on a sofa", "zebra"]
        )
    (warning,) = caught
    assert "'sofa'" in str(warning.message)
    assert "'zebra'" in str(warning.message)
    assert "lion" not in str(warning.message).replace("spelled alike", "")


def test_known_words_and_models_without_a_list_give_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown_words(model(data_path("miniature")), ["a red car on a rainy day"])
        warn_of_unknown_words(model(tmp_path), ["a sofa"])


def test_the_book_lists_every_known_word():
    page = (data_path().parent / "book" / "what-the-miniature-knows.md").read_text()
    assert unknown_words(read_known_words(), page.split()) == {}
