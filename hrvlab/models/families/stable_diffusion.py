"""The families of Stable Diffusion: UNets with CLIP's text encoders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffusers.models.attention_processor import Attention
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ModelError
from hrvlab.models.families.clip_texts import ClipTexts
from hrvlab.models.layers import Layer, default_size

if TYPE_CHECKING:
    from torch import nn

BLOCKS = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
ORDER = ("down", "mid", "up")


@dataclass(frozen=True)
class StableDiffusion(ClipTexts):
    """A family of UNets: cross-attention stands in their down, mid and up blocks."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the cross-attention layers of a UNet in forward order (down, mid, up).

        Raises
        ------
        ModelError
            If the model has no cross-attention layers in its down, mid and up blocks.
        """
        return unet_layers(denoiser)


def unet_layers(unet: nn.Module) -> list[Layer]:
    """List the cross-attention layers of a UNet in forward order (down, mid, up).

    Raises
    ------
    ModelError
        If the model has no cross-attention layers in its down, mid and up blocks.
    """
    height, _ = default_size(unet)
    found: dict[str, list[tuple[str, int, int]]] = {block: [] for block in ORDER}
    for name, module in unwrap_module(unet).named_modules():
        first = name.split(".", 1)[0]
        if first in BLOCKS and name.endswith(".attn2") and isinstance(module, Attention):
            found[BLOCKS[first]].append((name, module.heads, _downscale(unet, name)))
    layers: list[Layer] = []
    start = 0
    for block in ORDER:
        for block_layer, (name, heads, by) in enumerate(found[block]):
            grid = height // by
            layers.append(Layer(len(layers), block, block_layer, name, heads, grid, by, start))
            start += heads
    if not layers:
        raise ModelError(
            f"{type(unet).__name__} has no cross-attention layers (attn2) in its down, mid and up "
            "blocks; hrvlab supports UNets of the Stable Diffusion kind"
        )
    return layers


def _downscale(unet: Any, name: str) -> int:
    """Compute the factor by which a layer's grid is smaller than the latents.

    Each down block but the last halves the grid; the up blocks mirror them.
    """
    deepest = len(unet.config.down_block_types) - 1
    block = re.match(r"(down|up)_blocks\.(\d+)\.", name)
    if block is None:
        depth = deepest
    else:
        number = int(block[2])
        depth = number if block[1] == "down" else deepest - number
    return int(2**depth)


STABLE_DIFFUSION = StableDiffusion(
    "Stable Diffusion 1.x and 2.x",
    (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("UNet2DConditionModel",),
    words="CLIP's tokens, 77; learned tokens too",
    sink_name="the start token",
    tested="the published head tables; random pipelines; the trained miniature",
)
STABLE_DIFFUSION_XL = StableDiffusion(
    "Stable Diffusion XL",
    (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
    denoisers=("UNet2DConditionModel",),
    words="the first CLIP's tokens, 77; both encoders' states are joined",
    sink_name="the start token",
    tested="the published head table; random pipelines",
)
