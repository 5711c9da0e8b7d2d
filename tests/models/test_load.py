import pytest
import torch

from hrvlab.errors import ModelError
from hrvlab.models.load import fingerprint, load
from tests.pipelines import tiny_sd


def test_a_saved_pipeline_loads_with_the_same_weights(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert type(loaded) is type(tiny_pipe)
    assert fingerprint(loaded) == fingerprint(tiny_pipe)


def test_a_pipeline_is_loaded_in_the_given_dtype(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    loaded = load(tmp_path, dtype=torch.bfloat16)
    assert loaded.unet.dtype == loaded.text_encoder.dtype == torch.bfloat16


def test_other_weights_have_another_fingerprint(tiny_pipe):
    assert fingerprint(tiny_pipe) != fingerprint(tiny_sd(seed=1))


def test_an_unknown_name_says_what_would_be_right():
    with pytest.raises(ModelError, match="unknown model 'minature'; give 'miniature'"):
        load("minature")


def test_a_folder_without_a_pipeline_says_what_is_missing(tmp_path):
    with pytest.raises(ModelError, match="no model_index.json"):
        load(tmp_path)


def test_pickled_weights_are_refused(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ModelError, match="cannot load"):
        load(tmp_path)
