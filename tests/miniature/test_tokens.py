import numpy as np
import pytest
from transformers import CLIPTokenizer

from hrvlab.inputs.prompts import read_prompts
from hrvlab.miniature import world
from hrvlab.miniature.tokens import (
    MAX_LENGTH,
    encode_captions,
    kept_tokenizer,
    train_tokenizer,
    with_whole_words,
)
from hrvlab.miniature.vocabulary import caption_words
from hrvlab.models.known_words import read_known_words, unknown_words
from hrvlab.paths import data_path


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer()


def test_training_is_deterministic(tokenizer):
    assert train_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_the_kept_tokenizer_is_the_trained_one_with_whole_words(tokenizer, tmp_path):
    first, again = kept_tokenizer(tmp_path), kept_tokenizer(tmp_path)
    expected = with_whole_words(tokenizer, caption_words())
    assert first.get_vocab() == again.get_vocab() == expected.get_vocab()


def test_decoding_inverts_encoding(tokenizer):
    ids = tokenizer("a red car in the forest").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "a red car in the forest"


def test_it_pads_and_truncates_to_its_length(tokenizer):
    options = {"padding": "max_length", "truncation": True}
    lengths = [len(tokenizer(text, **options).input_ids) for text in ("a", "a " * 99)]
    assert lengths == [MAX_LENGTH] * 2


def test_most_words_are_one_token_and_some_are_several(tokenizer):
    words = [word for some in world.concept_words().values() for word in some]
    counts = [len(tokenizer(word).input_ids) - 2 for word in words]
    assert counts.count(1) > len(words) / 2
    assert max(counts) > 1


def test_whole_words_are_added_and_everything_known_keeps_its_tokens(tokenizer):
    shipped = CLIPTokenizer.from_pretrained(data_path("miniature", "tokenizer"))
    extended = with_whole_words(shipped, caption_words())
    texts = [*read_prompts("miniature"), *read_known_words()]
    assert [extended(text).input_ids for text in texts] == [
        shipped(text).input_ids for text in texts
    ]
    words = [word for word in caption_words() if "-" not in word]
    assert all(len(extended(word).input_ids) == 3 for word in words)
    assert extended.eos_token_id == extended.pad_token_id == shipped.eos_token_id
    again = with_whole_words(extended, caption_words())
    assert again.get_vocab() == extended.get_vocab()


def test_captions_of_images_are_tokenized_once_and_kept(tmp_path):
    ids = encode_captions(tmp_path, 6)
    assert ids.shape == (6, 4, MAX_LENGTH)
    np.testing.assert_array_equal(encode_captions(tmp_path, 6), ids)
    text = kept_tokenizer(tmp_path).decode(ids[0, 0].tolist(), skip_special_tokens=True)
    assert unknown_words([text], caption_words()) == {}
