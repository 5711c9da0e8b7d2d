import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel

from hrvlab.errors import ModelError
from hrvlab.models.heads import cross_attention_layers, head_table
from tests.pipelines import ARCHITECTURES, TINY, tiny_sd, tiny_unet

# The UNets' published configurations, and how many parameters they make.
SD14 = {
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "in_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
SD21 = SD14 | {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "sample_size": 96,
    "upcast_attention": True,
    "use_linear_projection": True,
}
SDXL = SD14 | {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": (5, 10, 20),
    "block_out_channels": (320, 640, 1280),
    "cross_attention_dim": 2048,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": (1, 2, 10),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True,
}
PARAMETERS = {"sd14": 859_520_964, "sd21": 865_910_724, "sdxl": 2_567_463_684}


@pytest.fixture(scope="module")
def unets():
    configs = {"sd14": SD14, "sd21": SD21, "sdxl": SDXL}
    with torch.device("meta"):
        return {name: UNet2DConditionModel(**config) for name, config in configs.items()}


def sd_layers(heads):
    """Return block, module, heads and grid divisor of every layer, in the published order."""
    down = [f"down_blocks.{i // 2}.attentions.{i % 2}.transformer_blocks.0" for i in range(6)]
    up = [f"up_blocks.{1 + i // 3}.attentions.{i % 3}.transformer_blocks.0" for i in range(9)]
    return [
        *[("down", module, heads[i // 2], 2 ** (i // 2)) for i, module in enumerate(down)],
        ("mid", "mid_block.attentions.0.transformer_blocks.0", heads[3], 8),
        *[("up", module, heads[2 - i // 3], 4 // 2 ** (i // 3)) for i, module in enumerate(up)],
    ]


def sdxl_layers():
    """Return the same for SDXL."""
    first = [f"down_blocks.1.attentions.{i // 2}.transformer_blocks.{i % 2}" for i in range(4)]
    down = [f"down_blocks.2.attentions.{i // 10}.transformer_blocks.{i % 10}" for i in range(20)]
    mid = [f"mid_block.attentions.0.transformer_blocks.{i}" for i in range(10)]
    up = [f"up_blocks.0.attentions.{i // 10}.transformer_blocks.{i % 10}" for i in range(30)]
    last = [f"up_blocks.1.attentions.{i // 2}.transformer_blocks.{i % 2}" for i in range(6)]
    return [
        *[("down", module, 10, 2) for module in first],
        *[("down", module, 20, 4) for module in down],
        *[("mid", module, 20, 4) for module in mid],
        *[("up", module, 20, 4) for module in up],
        *[("up", module, 10, 2) for module in last],
    ]


PUBLISHED = {
    "sd14": (sd_layers([8] * 4), 128),
    "sd21": (sd_layers([5, 10, 20, 20]), 195),
    "sdxl": (sdxl_layers(), 1300),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_unet_has_as_many_parameters_as_the_real_one(unets, name):
    assert sum(p.numel() for p in unets[name].parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_labels_modules_and_grids_are_the_published_ones(unets, name):
    layers, positions = PUBLISHED[name]
    table = head_table(unets[name])
    expected = {key: [] for key in ("label", "module", "grid", "layer", "head")}
    within = {"down": 0, "mid": 0, "up": 0}
    for layer, (block, module, heads, divisor) in enumerate(layers):
        for head in range(heads):
            expected["label"].append(f"{block}, layer: {within[block]}, head: {head}")
            expected["module"].append(f"{module}.attn2")
            expected["grid"].append(unets[name].config.sample_size // divisor)
            expected["layer"].append(layer)
            expected["head"].append(head)
        within[block] += 1
    for key, values in expected.items():
        assert table[key].values.tolist() == values
    assert table.sizes["head_position"] == positions


def test_sdxls_blocks_have_the_published_ranges(unets):
    block = head_table(unets["sdxl"])["block"].values
    ranges = {"down": (0, 439), "mid": (440, 639), "up": (640, 1299)}
    for name, (first, last) in ranges.items():
        assert np.flatnonzero(block == name)[[0, -1]].tolist() == [first, last]


def test_modules_are_not_listed_in_the_order_in_which_they_run(unets):
    # Diffusers lists down, up, mid.
    listed = [name for name, _ in unets["sdxl"].named_modules() if name.endswith("attn2")]
    ordered = [layer.module for layer in cross_attention_layers(unets["sdxl"])]
    assert sorted(listed) == sorted(ordered)
    assert listed != ordered


@pytest.mark.parametrize("name", TINY)
def test_layers_run_in_the_order_of_the_table(name):
    pipe, called = TINY[name].build(), []
    layers = cross_attention_layers(pipe.unet)
    for layer in layers:
        pipe.unet.get_submodule(layer.module).register_forward_hook(
            lambda *_, index=layer.index: called.append(index)
        )
    pipe("a red car", **(TINY[name].call | {"num_inference_steps": 1, "output_type": "latent"}))
    assert called == list(range(len(layers)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_grids_are_those_the_layers_run_on(name):
    pipe, positions = TINY[name].build(), {}
    layers = cross_attention_layers(pipe.unet)
    for layer in layers:
        pipe.unet.get_submodule(layer.module).to_q.register_forward_hook(
            lambda _, __, output, index=layer.index: positions.update({index: output.shape[1]})
        )
    pipe("a red car", num_inference_steps=1, output_type="latent")
    assert [positions[layer.index] for layer in layers] == [layer.grid**2 for layer in layers]


def test_head_positions_of_a_layer_are_where_the_table_says():
    unet = tiny_sd().unet
    table = head_table(unet)
    for layer in cross_attention_layers(unet):
        assert (table["module"].values[layer.head_positions] == layer.module).all()
        assert table["head"].values[layer.head_positions].tolist() == list(range(layer.heads))


def test_a_model_without_cross_attention_is_refused():
    with torch.device("meta"):
        unet = UNet2DModel(sample_size=8, block_out_channels=(32, 32, 32, 32))
    with pytest.raises(ModelError, match="no cross-attention layers"):
        head_table(unet)


def test_a_unet_whose_self_attention_reads_the_prompt_is_refused():
    unet = tiny_unet(only_cross_attention=(True, False))
    with pytest.raises(ModelError, match="attends to the prompt in attn1 too"):
        cross_attention_layers(unet)
