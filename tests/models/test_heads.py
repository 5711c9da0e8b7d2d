import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel

from hrvlab.errors import ModelError
from hrvlab.models.heads import cross_attention_layers, head_table
from tests.pipelines import tiny_sd


@pytest.fixture(scope="module")
def sd14():
    with torch.device("meta"):
        return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


@pytest.fixture(scope="module")
def sdxl():
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
        )


def test_sd14_has_the_published_128_head_positions(sd14):
    table = head_table(sd14)
    expected = [
        f"{place}, layer: {layer}, head: {head}"
        for place, layers in (("down", 6), ("mid", 1), ("up", 9))
        for layer in range(layers)
        for head in range(8)
    ]
    assert table["label"].values.tolist() == expected
    assert len(expected) == 128


def test_sd14_modules_and_grids_follow_the_published_table(sd14):
    modules = {
        **{("down", i): f"down_blocks.{i // 2}.attentions.{i % 2}" for i in range(6)},
        ("mid", 0): "mid_block.attentions.0",
        **{("up", i): f"up_blocks.{1 + i // 3}.attentions.{i % 3}" for i in range(9)},
    }
    grids = [64, 64, 32, 32, 16, 16, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    layers = cross_attention_layers(sd14)
    assert [layer.grid for layer in layers] == grids
    for layer in layers:
        block = modules[layer.place, layer.place_layer]
        assert layer.module == f"{block}.transformer_blocks.0.attn2"


def test_sdxl_has_1300_head_positions_in_the_published_ranges(sdxl):
    table = head_table(sdxl)
    place = table["place"].values
    assert [int((place == name).sum()) for name in ("down", "mid", "up")] == [440, 200, 660]
    assert table["label"].values[[0, 440, 640, 1299]].tolist() == [
        "down, layer: 0, head: 0",
        "mid, layer: 0, head: 0",
        "up, layer: 0, head: 0",
        "up, layer: 35, head: 9",
    ]
    assert table["module"].values[1299].startswith("up_blocks.1.attentions.2.transformer_blocks.1")
    assert set(np.unique(table["grid"].values)) == {32, 64}


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
