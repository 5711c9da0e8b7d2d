import pytest
import torch
from peft import LoraConfig

from hrvlab.attention.hooks import attention_module
from hrvlab.attention.word_keys import WordKeys
from hrvlab.models.heads import cross_attention_layers
from tests.pipelines import tiny_sd

ROWS = torch.tensor([[[[2, 0, 1]], [[1, 1, 2]]]])  # of a call, two layers and a sample
STATES = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
LAYERS = cross_attention_layers(tiny_sd().unet)[:2]


def two_modules():
    """Return two modules whose keys have one width, and which a LoRA wraps."""
    unet = tiny_sd().unet
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False))
    modules = [attention_module(unet, layer) for layer in cross_attention_layers(unet)]
    return unet, [module for module in modules if module.inner_kv_dim == modules[0].inner_kv_dim][
        :2
    ]


def read(keys, modules):
    for number in range(len(modules)):
        if keys.outdated(number):
            keys.project(number, torch.device("cpu"))
    return keys.read(slice(0, 2), ROWS)


def projected(modules):
    """Project the rows step by step."""
    with torch.no_grad():
        of_layer = [module.to_k(STATES) * module.scale for module in modules]
    return torch.stack([keys[rows] for keys, rows in zip(of_layer, ROWS[0], strict=True)])[None]


def untouched(unet):
    pass


def halved(unet):
    unet.set_adapters(["default"], [0.5])


def disabled(unet):
    unet.disable_lora()


def merged(unet):
    unet.fuse_lora()


@pytest.mark.parametrize("change", [untouched, halved, disabled, merged])
def test_keys_are_those_of_the_lora_at_its_present_strength(change):
    unet, modules = two_modules()
    keys = WordKeys(modules, LAYERS, STATES)
    assert torch.equal(read(keys, modules), projected(modules))
    change(unet)
    assert torch.equal(read(keys, modules), projected(modules))


def test_keys_are_projected_anew_only_when_the_strength_changes():
    unet, modules = two_modules()
    keys = WordKeys(modules, LAYERS, STATES)
    before = read(keys, modules)
    modules[0].to_k.base_layer.weight.data.zero_()
    assert torch.equal(read(keys, modules), before)
    halved(unet)
    assert not torch.equal(read(keys, modules), before)


def test_keys_are_projected_without_hooks_and_in_full_precision():
    _, modules = two_modules()
    expected = projected(modules)
    for module in modules:
        module.to_k.register_forward_hook(lambda *_: pytest.fail("a hook was called"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(read(WordKeys(modules, LAYERS, STATES), modules), expected)
