import huggingface_hub
import pytest
import torch
import transformers
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor

from hrvlab.errors import ModelError
from hrvlab.models.load import fingerprint, load
from tests.pipelines import tiny_sd, tiny_sdxl, tiny_unet
from tests.single_files import same_weights

UNET = "diffusion_pytorch_model"
FILES = {"unet": UNET, "vae": UNET, "text_encoder": "model"}


def change(path, **changes):
    """Change the weights of a file: replace those given, leave out those given as None."""
    weights = load_file(path) | changes
    save_file({k: v for k, v in weights.items() if v is not None}, path, {"format": "pt"})


@pytest.mark.parametrize("component", FILES)
def test_a_component_that_lacks_weights_is_refused(component, tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    path = tmp_path / component / f"{FILES[component]}.safetensors"
    first, second, *_ = sorted(load_file(path))
    change(path, **{first: None, second: None})
    library = "transformers" if component == "text_encoder" else "diffusers"
    said = rf"^{component} would be partly random: 2 of its \d+ weights, first .*{first}, are not "
    with pytest.raises(ModelError, match=said + rf"where {library} \d.* looks for them; install"):
        load(tmp_path)


def test_an_encoder_whose_weights_have_other_names_is_refused(tiny_pipe, tmp_path):
    # As all names are for a transformers that has another idea of the model's modules.
    tiny_pipe.save_pretrained(tmp_path)
    path = tmp_path / "text_encoder" / "model.safetensors"
    save_file({f"other.{k}": v for k, v in load_file(path).items()}, path, {"format": "pt"})
    expected = f"text_encoder .* of its .* where transformers {transformers.__version__} looks"
    with pytest.raises(ModelError, match=expected):
        load(tmp_path)


@pytest.mark.parametrize("component", FILES)
def test_weights_of_another_shape_are_refused(component, tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    path = tmp_path / component / f"{FILES[component]}.safetensors"
    first = min(load_file(path))
    change(path, **{first: torch.zeros(3)})
    with pytest.raises(ModelError, match=f"{component}.*{first}"):
        load(tmp_path)


def test_a_damaged_component_is_named_with_the_reason(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    path = tmp_path / "unet" / f"{UNET}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot load .*unet: .+"):
        load(tmp_path)


def test_every_kind_of_pipeline_folder_loads_as_before(tmp_path):
    torch.manual_seed(0)
    pipe = tiny_sd()
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 2}
    vision = tower | {"image_size": 8, "patch_size": 4}
    config = CLIPConfig(text_config=tower, vision_config=vision, projection_dim=8)
    checker = StableDiffusionSafetyChecker(config)
    pipe.register_modules(safety_checker=checker, feature_extractor=CLIPImageProcessor())
    pipe.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list((tmp_path / "unet").glob("*.safetensors"))) > 1
    # Older versions of transformers kept this constant with the weights.
    positions = torch.arange(20)[None]
    *_, last = sorted((tmp_path / "text_encoder").glob("*.safetensors"))
    change(last, **{"text_model.embeddings.position_ids": positions})
    loaded = load(tmp_path, device="cpu")
    assert same_weights(loaded, pipe)
    assert type(loaded.safety_checker) is StableDiffusionSafetyChecker


def test_both_encoders_of_sdxl_are_loaded(tmp_path):
    pipe = tiny_sdxl()
    pipe.save_pretrained(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert fingerprint(loaded) == fingerprint(pipe)
    assert loaded.config.force_zeros_for_empty_prompt == pipe.config.force_zeros_for_empty_prompt


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "20KB"}], ids=["whole", "sharded"])
@pytest.mark.parametrize("told", [{}, {"variant": "fp16"}], ids=["found", "told"])
def test_a_folder_with_one_variant_only_loads(told, shards, tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path, variant="fp16", **shards)
    assert same_weights(load(tmp_path, device="cpu", **told), tiny_pipe)


def test_among_several_variants_the_plain_one_is_the_default(tiny_pipe, tmp_path):
    other = tiny_sd(seed=1)
    other.save_pretrained(tmp_path, variant="fp16")
    tiny_pipe.save_pretrained(tmp_path)
    assert same_weights(load(tmp_path, device="cpu"), tiny_pipe)
    assert same_weights(load(tmp_path, device="cpu", variant="fp16"), other)


def test_a_component_without_the_variant_is_read_plain(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path)
    other = tiny_unet()
    other.save_pretrained(tmp_path / "unet", variant="ema")
    loaded = load(tmp_path, device="cpu", variant="ema")
    assert torch.equal(loaded.unet.conv_in.weight, other.conv_in.weight)
    assert torch.equal(loaded.vae.quant_conv.weight, tiny_pipe.vae.quant_conv.weight)


def test_variants_without_a_plain_one_must_be_chosen(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path, variant="fp16")
    tiny_pipe.save_pretrained(tmp_path, variant="bf16")
    with pytest.raises(ModelError, match="the variants bf16, fp16 and no plain weights; give one"):
        load(tmp_path)
    with pytest.raises(ModelError, match="no variant 'fp8'; it has bf16, fp16"):
        load(tmp_path, variant="fp8")


def test_pickled_weights_are_refused(tiny_pipe, tmp_path):
    tiny_pipe.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ModelError, match="cannot load unet: .* has pickled weights only; load it"):
        load(tmp_path)


def test_a_pipeline_of_the_hub_is_loaded_from_its_cache(tiny_pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    cache = tmp_path / "models--someone--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    tiny_pipe.save_pretrained(cache / "snapshots" / ("0" * 40))
    loaded = load("someone/tiny", device="cpu")
    assert same_weights(loaded, tiny_pipe)
    assert loaded.config._name_or_path == "someone/tiny"
    with pytest.raises(ModelError, match="'someone/other' is not in the cache"):
        load("someone/other")
