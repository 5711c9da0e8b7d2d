import pytest

from hrvlab.models.projections import Projections
from tests.pipelines import ARCHITECTURES, TINY, tiny_lora, tiny_sd, tiny_sdxl


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_projection_of_attention_is_listed(name):
    unet = TINY[name].build().unet
    listed = [path for path, *_ in Projections.of(unet).places]
    attention = {path for path, _ in unet.named_modules() if path.endswith(("attn1", "attn2"))}
    for path in attention:
        for projection in ("to_q", "to_k", "to_v", "to_out.0"):
            assert f"{path}.{projection}" in listed
    assert len(listed) == len(set(listed))


def test_nothing_was_replaced_by_a_call():
    pipe = tiny_sd()
    projections = Projections.of(pipe.unet)
    pipe("a red car", num_inference_steps=1, output_type="latent")
    assert projections.replaced() == []


def test_a_lora_that_was_loaded_is_noticed():
    from peft import LoraConfig

    pipe = tiny_sdxl()
    projections = Projections.of(pipe.unet)
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k", "to_out.0"]))
    replaced = projections.replaced()
    assert {path.rpartition("attn")[2][2:] for path in replaced} == {"to_k", "to_out.0"}
    pipe.unet.delete_adapters("default")
    assert Projections.of(pipe.unet).replaced() == []


def test_another_strength_or_a_second_adapter_replaces_nothing():
    from peft import LoraConfig

    pipe = tiny_lora()
    projections = Projections.of(pipe.unet)
    pipe.set_adapters(["default"], [0.5])
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k"]), adapter_name="other")
    assert projections.replaced() == []


def test_one_module_that_was_replaced_is_noticed():
    unet = tiny_sd().unet
    projections = Projections.of(unet)
    other = tiny_sd(seed=1).unet
    path = "mid_block.attentions.0.transformer_blocks.0.attn2"
    unet.get_submodule(path).to_v = other.get_submodule(path).to_v
    assert projections.replaced() == [f"{path}.to_v"]
