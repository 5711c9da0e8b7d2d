import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import hrvlab as hl
from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.load import fingerprint, load
from tests.pipelines import tiny_sd, tiny_unet
from tests.single_files import same_weights, save_single_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a single file, and with a pipeline of other weights beside it."""
    folder = tmp_path_factory.mktemp("models")
    tiny_sd(seed=1).save_pretrained(folder / "pipeline")
    save_single_file(tiny_sd(), folder / "dream.safetensors")
    return folder


def test_a_single_file_is_loaded_by_the_configuration_of_a_pipeline(folder):
    pipe = load(folder / "dream.safetensors", config=folder / "pipeline", device="cpu")
    expected = tiny_sd()
    assert same_weights(pipe, expected)
    assert fingerprint(pipe) == fingerprint(expected)
    assert pipe.tokenizer.model_max_length == expected.tokenizer.model_max_length
    assert pipe.scheduler.config.steps_offset == 1


def test_a_single_file_within_a_pipeline_folder_needs_no_other(folder):
    path = folder / "pipeline" / "dream.safetensors"
    save_single_file(tiny_sd(), path)
    pipe = load(str(path), dtype="float16", device="cpu")
    assert fingerprint(pipe) != fingerprint(load(folder / "pipeline", device="cpu"))
    assert pipe.unet.dtype == pipe.text_encoder.dtype == torch.float16


def test_a_file_and_the_folder_it_was_made_from_are_the_same_model(tmp_path):
    made = tiny_sd()
    made.save_pretrained(tmp_path / "dream")
    save_single_file(made, tmp_path / "dream.safetensors")
    file, saved = (load(tmp_path / name, device="cpu") for name in ("dream.safetensors", "dream"))
    assert fingerprint(file) == fingerprint(saved) == fingerprint(made)
    call = {"num_inference_steps": 3, "seed": [0, 1], "progress": False}
    images = [hl.generate(pipe, "a red car", **call) for pipe in (file, saved)]
    assert np.array_equal(*images)


def test_the_usual_pipeline_is_used_if_it_was_downloaded(folder, tmp_path, monkeypatch):
    usual = "models--stable-diffusion-v1-5--stable-diffusion-v1-5"
    snapshot = tmp_path / usual / "snapshots" / "0123"
    tiny_sd(seed=1).save_pretrained(snapshot)
    (tmp_path / usual / "refs").mkdir()
    (tmp_path / usual / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    pipe = load(folder / "dream.safetensors", device="cpu")
    assert fingerprint(pipe) == fingerprint(tiny_sd())


def test_without_a_configuration_the_refusal_says_how_to_go_on(folder):
    with pytest.raises(
        ModelError, match="single-file checkpoint.*give config=, a pipeline folder.*-v1-5"
    ):
        load(folder / "dream.safetensors")


def test_a_file_of_another_architecture_is_refused(folder, tmp_path):
    other = tiny_sd()
    other.unet = tiny_unet(block_out_channels=(16, 16))
    other.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="dream.safetensors does not fit the configuration of"):
        load(folder / "dream.safetensors", config=tmp_path)


@pytest.mark.parametrize(
    "part, component",
    [
        ("model.diffusion_model.middle_block.1.", "the UNet or the VAE"),
        ("first_stage_model.decoder.", "the UNet or the VAE"),
        ("cond_stage_model.transformer.text_model.encoder.layers.1.", "text_encoder"),
    ],
)
def test_a_file_that_lacks_weights_is_refused(part, component, folder, tmp_path):
    weights = load_file(folder / "dream.safetensors")
    save_file(
        {k: v for k, v in weights.items() if not k.startswith(part)}, tmp_path / "a.safetensors"
    )
    with pytest.raises(ModelError, match=rf"^{component} would be partly random: .* of its"):
        load(tmp_path / "a.safetensors", config=folder / "pipeline")


def test_a_damaged_file_is_refused_with_the_reason(folder, tmp_path):
    path = tmp_path / "dream.safetensors"
    path.write_bytes((folder / "dream.safetensors").read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot read the single-file checkpoint .*: .+"):
        load(path, config=folder / "pipeline")


def test_a_lora_is_no_single_file_checkpoint(tmp_path):
    save_file({"unet.to_q.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(ModelError, match="single file without a UNet.*as lora="):
        load(tmp_path / "lora.safetensors")


@pytest.mark.parametrize("suffix", [".ckpt", ".bin"])
def test_pickled_files_are_refused(suffix, tmp_path):
    path = tmp_path / f"dream{suffix}"
    path.write_bytes(b"")
    with pytest.raises(
        ModelError, match="pickled weights, .* reads safetensors only; load it where"
    ):
        load(path)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"there is no file models/dream\.safetensors"):
        load("models/dream.safetensors")


def test_parameters_that_do_not_apply_are_refused(folder):
    with pytest.raises(ParameterError, match="has no variants"):
        load(folder / "dream.safetensors", variant="fp16")
    with pytest.raises(ParameterError, match="config is for single files"):
        load(folder / "pipeline", config=folder / "pipeline")
