import pytest
import torch
from diffusers import DiffusionPipeline

from hrvlab.errors import ModelError, ParameterError
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


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_a_dtype_may_be_given_by_its_name(name, tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    loaded = load(tmp_path, dtype=name)
    assert loaded.unet.dtype == loaded.text_encoder.dtype == getattr(torch, name)


@pytest.mark.parametrize("dtype", ["fp16", "int8", torch.int8])
def test_another_dtype_is_refused_before_anything_is_loaded(dtype):
    with pytest.raises(ParameterError, match="unknown dtype .*; give 'float32', 'float16' or"):
        load("miniature", dtype=dtype)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", torch.device("cuda")])
def test_an_absent_device_is_refused_before_anything_is_loaded(device, monkeypatch):
    monkeypatch.setattr(DiffusionPipeline, "load_config", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ModelError, match="this machine has no 'cuda' .* it has 'cpu'"):
        load("miniature", device=device)


def test_an_unknown_device_is_refused():
    with pytest.raises(ModelError, match="has no device 'gpu' here"):
        load("miniature", device="gpu")
