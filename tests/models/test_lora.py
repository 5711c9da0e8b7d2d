import pytest
import torch
from safetensors.torch import load_file, save_file

import hrvlab as hl
from hrvlab.errors import ModelError
from hrvlab.models.load import fingerprint, load
from tests.pipelines import tiny_lora, tiny_sd, tiny_sdxl

peft = pytest.importorskip("peft")
NAME = "style.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a model, and in another one a LoRA of it, as diffusers saves them."""
    folder = tmp_path_factory.mktemp("models")
    tiny_sdxl().save_pretrained(folder / "model")
    weights = peft.get_peft_model_state_dict(tiny_lora().unet)
    (folder / "style").mkdir()
    save_file({f"unet.{key}": value for key, value in weights.items()}, folder / "style" / NAME)
    return folder


def made(pipe):
    return hl.generate(pipe, "a red car", num_inference_steps=1, progress=False).tolist()


def test_a_lora_is_loaded_from_a_file_or_its_folder_at_its_scale(folder):
    expected = tiny_lora()
    # PEFT scales by 8 / 2 here, which the file does not say.
    by_file = load(folder / "model", lora=f"{folder / 'style' / NAME}:4", device="cpu")
    assert made(by_file) == made(expected) != made(tiny_sdxl())
    by_folder = load(folder / "model", lora=[f"{folder / 'style'}:2"], device="cpu")
    expected.set_adapters(["default"], [0.5])
    assert made(by_folder) == made(expected)
    assert fingerprint(by_file) != fingerprint(by_folder)


@pytest.mark.full
def test_the_names_of_kohya_are_read(folder, tmp_path):
    weights = {}
    for key, value in load_file(folder / "style" / NAME).items():
        layer, _, factor = key.removeprefix("unet.").rpartition(".lora_")
        name = f"lora_unet_{layer.replace('.', '_')}"
        weights[f"{name}.lora_{'down' if factor[0] == 'A' else 'up'}.weight"] = value
        weights[f"{name}.alpha"] = torch.tensor(2.0)
    save_file(weights, tmp_path / NAME)
    by_name, saved = (
        load(folder / "model", lora=str(path), device="cpu")
        for path in (tmp_path, folder / "style")
    )
    assert fingerprint(by_name) == fingerprint(saved)


def test_a_lora_of_scale_zero_leaves_the_model_as_it_is(folder):
    pipe = load(folder / "model", lora=f"{folder / 'style'}:0", device="cpu")
    assert fingerprint(pipe) == fingerprint(tiny_sdxl())


def test_two_loras_have_scales_of_their_own(folder):
    both = [f"{folder / 'style'}:0.5", f"{folder / 'style' / NAME}:-0.5"]
    pipe = load(folder / "model", lora=both, device="cpu")
    assert sorted(pipe.get_active_adapters()) == ["default_0", "default_1"]
    scaling = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.scaling
    assert scaling == {"default_0": scaling["default_0"], "default_1": -scaling["default_0"]}


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (
            lambda key: key.replace("mid_block", "middle_block"),
            "24 of its 144 layers have no place",
        ),
        (
            lambda key: key.removeprefix("unet."),
            "layers have no place in StableDiffusionXLPipeline",
        ),
        (lambda key: key.replace("lora", "hada"), "does not fit: .*lora"),
    ],
)
def test_weights_that_diffusers_would_leave_out_are_refused(folder, tmp_path, rename, message):
    weights = load_file(folder / "style" / NAME)
    save_file({rename(key): value for key, value in weights.items()}, tmp_path / NAME)
    with pytest.raises(ModelError, match=message):
        load(folder / "model", lora=str(tmp_path / NAME))


def test_a_lora_of_another_model_is_refused(folder, tmp_path):
    tiny_sd().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"cannot load the LoRA: .*style does not fit: "):
        load(tmp_path, lora=str(folder / "style"))


def test_what_is_no_lora_is_refused_by_what_it_is(folder, tmp_path):
    for lora, message in {
        "nothing.safetensors": "there is no LoRA 'nothing.safetensors'; give",
        str(tmp_path): "must hold one .safetensors file of a LoRA; it holds none",
        "a.ckpt": "pickled weights, which are refused",
    }.items():
        with pytest.raises(ModelError, match=message):
            load(folder / "model", lora=lora)


def test_without_peft_the_refusal_says_how_to_install_it(folder, monkeypatch):
    monkeypatch.setattr("hrvlab.models.lora.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install peft"):
        load(folder / "model", lora=str(folder / "style"))
