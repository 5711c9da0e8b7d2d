import json

import pytest
import torch
from diffusers import (
    CosmosTransformer3DModel,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    HiDreamImagePipeline,
    Kandinsky5T2IPipeline,
    PixArtAlphaPipeline,
    StableDiffusionSAGPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DModel,
)
from transformers import T5Config, T5EncoderModel

from hrvlab.errors import ModelError
from hrvlab.models.families import STABLE_DIFFUSION, STABLE_DIFFUSION_XL, family_of, find_family
from hrvlab.models.load import load
from tests.pipelines import TINY, tiny_sd, tiny_sdxl
from tests.tiny_joint import tiny_sd3

WORDS = ["Red", "blue cat"]


def test_every_pipeline_knows_its_family():
    found = {name: family_of(tiny.build()) for name, tiny in TINY.items()}
    sd, xl = STABLE_DIFFUSION, STABLE_DIFFUSION_XL
    assert found == {"sd1": sd, "sd2": sd, "sdxl": xl, "turbo": xl, "lora": xl}


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_each_word_is_encoded_alone(name):
    pipe = TINY[name].build()
    encodings = family_of(pipe).encode_words(pipe, WORDS)
    assert [len(rows) for rows in encodings.content] == [1, 2]
    ids = pipe.tokenizer("blue cat", return_tensors="pt").input_ids
    with torch.no_grad():
        states = pipe.text_encoder(ids).last_hidden_state[0]
    torch.testing.assert_close(encodings.start, states[0])
    torch.testing.assert_close(encodings.content[1], states[1:3])


@pytest.mark.parametrize("name", TINY)
def test_a_word_is_encoded_as_the_pipeline_encodes_a_prompt(name):
    pipe = TINY[name].build()
    encodings = family_of(pipe).encode_words(pipe, WORDS)
    for word, content in zip(WORDS, encodings.content, strict=True):
        with torch.no_grad():
            states, *_ = pipe.encode_prompt(
                word, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
            )
        torch.testing.assert_close(encodings.start, states[0, 0])
        torch.testing.assert_close(content, states[0, 1 : 1 + len(content)])


def test_sdxl_joins_the_penultimate_states_of_both_encoders():
    pipe = tiny_sdxl()
    encodings = family_of(pipe).encode_words(pipe, WORDS)
    joined = []
    for tokenizer, encoder in (
        (pipe.tokenizer, pipe.text_encoder),
        (pipe.tokenizer_2, pipe.text_encoder_2),
    ):
        ids = tokenizer("blue cat", return_tensors="pt").input_ids
        with torch.no_grad():
            joined.append(encoder(ids, output_hidden_states=True).hidden_states[-2][0])
    torch.testing.assert_close(encodings.content[1], torch.cat(joined, -1)[1:3])
    assert encodings.start.shape == (16 + 24,)


def test_letter_case_does_not_matter(tiny_pipe):
    one, other = family_of(tiny_pipe).encode_words(tiny_pipe, ["RED", "red"]).content
    assert torch.equal(one, other)


def t5():
    return T5EncoderModel(
        T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )


def hidream():
    return HiDreamImagePipeline(FlowMatchEulerDiscreteScheduler(), *[None] * 10)


def self_attention_guidance():
    return StableDiffusionSAGPipeline(**tiny_sd().components, requires_safety_checker=False)


def kandinsky():
    return Kandinsky5T2IPipeline(*[None] * 7)


def unknown(pipe):
    """Make a pipeline one of a class that is not of diffusers."""
    own = {"__init__": type(pipe).__init__}  # whose arguments are its components
    pipe.__class__ = type("Unknown", (DiffusionPipeline,), own)
    return pipe


def unknown_unet():
    pipe = tiny_sd()
    pipe.register_modules(text_encoder=t5())
    return unknown(pipe)


def unknown_transformer():
    transformer = CosmosTransformer3DModel(
        in_channels=4,
        num_attention_heads=2,
        attention_head_dim=24,
        num_layers=1,
        text_embed_dim=16,
        adaln_lora_dim=4,
        max_size=(4, 8, 8),
    )
    return unknown(PixArtAlphaPipeline(None, t5(), None, transformer, DDPMScheduler()))


def ddpm():
    return DDPMPipeline(UNet2DModel(sample_size=8, block_out_channels=(32,) * 4), DDPMScheduler())


REFUSED = {
    unknown_unet: ["T5EncoderModel is not CLIP's"],
    unknown_transformer: [
        "no family describes how the layers of CosmosTransformer3DModel are read"
    ],
    hidream: ["joint attention"],
    kandinsky: ["rotates, gates or groups queries and keys"],
    self_attention_guidance: ["more than once a step"],
    ddpm: ["no cross-attention"],
}


@pytest.mark.parametrize("build", REFUSED, ids=lambda build: build.__name__)
def test_an_unsupported_architecture_is_refused_with_the_reasons(build):
    pipe = build()
    with pytest.raises(ModelError, match=f"{type(pipe).__name__} is not supported") as refusal:
        family_of(pipe)
    for reason in REFUSED[build]:
        assert reason in str(refusal.value)
    assert "NoneType" not in str(refusal.value)
    assert "hrvlab supports Stable Diffusion 1.x and 2.x" in str(refusal.value)


def test_the_nearest_class_that_is_known_decides():
    assert find_family(["Own", "StableDiffusionPAGPipeline"]) is STABLE_DIFFUSION
    assert find_family(["Own", "StableDiffusionSAGPipeline", "StableDiffusionPipeline"]) is None
    pipe = self_attention_guidance()
    pipe.__class__ = type("Own", (type(pipe),), {})
    with pytest.raises(ModelError, match="Own is not supported yet: .* more than once a step"):
        family_of(pipe)


def test_an_unsupported_model_is_refused_before_its_weights_are_fetched(tmp_path):
    index = {
        "_class_name": "ErnieImagePipeline",
        "transformer": ["diffusers", "ErnieImageTransformer2DModel"],
        "text_encoder": ["transformers", "T5EncoderModel"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "transformer").mkdir()
    config = {"_class_name": "ErnieImageTransformer2DModel", "num_layers": 1}
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ModelError, match="ErnieImagePipeline is not supported yet: .*joint attention"
    ):
        load(tmp_path)


def test_sdxls_refiner_is_refused():
    parts = tiny_sdxl().components | {"text_encoder": None, "tokenizer": None}
    refiner = StableDiffusionXLImg2ImgPipeline(**parts, requires_aesthetics_score=True)
    with pytest.raises(ModelError, match="not its refiner"):
        family_of(refiner)


def test_a_pipeline_without_an_encoder_of_its_columns_is_refused():
    pipe = tiny_sd3()
    pipe.register_modules(text_encoder_2=None, tokenizer_2=None)
    with pytest.raises(ModelError, match="lacks text_encoder_2, .* load the pipeline with it"):
        family_of(pipe)
