"""Adapters count in a model's fingerprint while they act, and a call leaves them as they were."""

import pytest
import torch

from hrvlab.models.adapters import adapter_layers, adapters_kept, rounding_note
from hrvlab.models.load import fingerprint, weights_digest
from tests.pipelines import tiny_lora, tiny_sd, tiny_sdxl

PLAIN = fingerprint(tiny_sdxl())


def disabled(pipe):
    pipe.unet.disable_lora()


def deactivated(pipe):
    pipe.unet.set_adapters([])


def of_weight_zero(pipe):
    pipe.set_adapters(["default"], [0.0])


def unloaded(pipe):
    pipe.unload_lora_weights()


@pytest.mark.parametrize("idle", [disabled, deactivated, of_weight_zero, unloaded])
def test_an_idle_adapter_does_not_count(idle):
    pipe = tiny_lora()
    assert fingerprint(pipe) != PLAIN
    idle(pipe)
    assert fingerprint(pipe) == PLAIN


def with_another(pipe):
    """Load a second adapter, of other layers too."""
    from peft import LoraConfig

    targets = ["to_k", "proj_in"]
    config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    pipe.unet.add_adapter(config, adapter_name="other")
    return pipe


def test_only_the_active_one_of_two_adapters_counts():
    one = tiny_lora()
    torch.manual_seed(0)
    two = with_another(tiny_lora())
    two.set_adapters(["default"])
    assert fingerprint(two) == fingerprint(one)
    two.set_adapters(["default", "other"])
    both = fingerprint(two)
    two.set_adapters(["default", "other"], [1.0, 0.5])
    assert len({fingerprint(one), both, fingerprint(two)}) == 3


def test_a_fused_adapter_counts_as_the_weights_that_it_was_fused_into():
    pipe = tiny_lora()
    pipe.fuse_lora()
    fused = fingerprint(pipe)
    assert fused != PLAIN
    pipe.unload_lora_weights()
    assert fingerprint(pipe) == fused


def test_an_adapter_of_a_text_encoder_counts_while_it_acts():
    from peft import LoraConfig, inject_adapter_in_model

    pipe = tiny_sd()
    plain = fingerprint(pipe)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    inject_adapter_in_model(config, pipe.text_encoder)
    assert fingerprint(pipe) != plain
    for _, layer in adapter_layers(pipe.text_encoder):
        layer.enable_adapters(False)
    assert fingerprint(pipe) == plain


@pytest.mark.parametrize("build", [tiny_sd, tiny_sdxl])
def test_projections_that_are_fused_do_not_change_the_fingerprint(build):
    pipe = build()
    before, decoder = fingerprint(pipe), weights_digest(pipe.vae)
    pipe.fuse_qkv_projections()
    assert fingerprint(pipe) == before
    pipe.unfuse_qkv_projections()
    assert fingerprint(pipe) == before
    assert weights_digest(pipe.vae) == decoder


def test_the_rounding_of_an_unfused_lora_is_explained():
    pipe = tiny_lora()
    assert rounding_note(pipe) == ""
    pipe.fuse_lora()
    pipe.unfuse_lora()
    pipe.unload_lora_weights()
    assert "load the pipeline again" in rounding_note(pipe)
    torch.testing.assert_close(
        pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight,
        tiny_sdxl().unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight,
    )


def image(pipe, **call):
    generator = torch.Generator().manual_seed(0)
    call |= {"num_inference_steps": 2, "output_type": "latent", "generator": generator}
    return pipe("a red car", **call).images


def test_what_diffusers_leaves_of_a_call_without_adapters():
    # The reason for adapters_kept; it may go when this fails.
    pipe = tiny_lora()
    pipe.set_adapters(["default"], [0.5])
    before = image(pipe)
    image(pipe, cross_attention_kwargs={"scale": 0})
    assert not torch.equal(image(pipe), before)


@pytest.mark.parametrize("scale", [0, 0.7])
def test_a_call_of_another_scale_leaves_the_adapters_as_they_were(scale):
    pipe = with_another(tiny_lora())
    pipe.set_adapters(["default", "other"], [0.3, 0.9])
    before, model = image(pipe), fingerprint(pipe)
    with adapters_kept(pipe):
        image(pipe, cross_attention_kwargs={"scale": scale})
    assert fingerprint(pipe) == model
    assert torch.equal(image(pipe), before)


def test_adapters_are_restored_after_an_exception():
    pipe = tiny_lora()
    pipe.set_adapters(["default"], [0.5])
    model = fingerprint(pipe)

    def fail(*_):
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"), adapters_kept(pipe):
        image(pipe, cross_attention_kwargs={"scale": 0.2}, callback_on_step_end=fail)
    assert fingerprint(pipe) == model


def test_a_model_without_adapters_is_left_alone():
    pipe = tiny_sd()
    before = image(pipe)
    with adapters_kept(pipe):
        assert torch.equal(image(pipe), before)


def test_adapters_that_are_loaded_or_unloaded_within_the_block_stay_so():
    pipe = tiny_lora()
    with adapters_kept(pipe):
        with_another(pipe)
        pipe.delete_adapters("default")
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k
    assert set(layer.scaling) == {"other"}
