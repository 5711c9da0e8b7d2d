import pytest

from hrvlab.miniature import world
from hrvlab.miniature.tokens import MAX_LENGTH, kept_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer()


def test_training_is_deterministic(tokenizer):
    assert train_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_the_kept_tokenizer_is_the_trained_one(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "trained")
    for name in ("kept", "read again"):
        kept_tokenizer(tmp_path).save_pretrained(tmp_path / name)
        for file in (tmp_path / "trained").iterdir():
            assert (tmp_path / name / file.name).read_bytes() == file.read_bytes()


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
