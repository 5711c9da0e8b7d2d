"""The families of Stable Diffusion: UNets with CLIP's text encoders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffusers.models.attention_processor import Attention
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ModelError
from hrvlab.models.families.clip_texts import ClipTexts
from hrvlab.models.layers import Layer, default_size

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.families.family import Branch

BLOCKS = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}
ORDER = ("down", "mid", "up")
# Those that encode prompts at the text encoders' own LoRA strength, whatever the call says.
PLAIN_TEXT_ENCODING = (
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionAdapterPipeline",
    "StableDiffusionXLAdapterPipeline",
)


@dataclass(frozen=True)
class StableDiffusion(ClipTexts):
    """A family of UNets: cross-attention stands in their down, mid and up blocks."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the cross-attention layers of a UNet in forward order (down, mid, up).

        Raises
        ------
        ModelError
            If the model has no cross-attention layers in its down, mid and up blocks, or others.
        """
        return unet_layers(denoiser)

    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the layers that are skipped, and the strength of LoRAs in the encoders."""
        how = super().encoding(pipe, call)
        if {cls.__name__ for cls in type(pipe).__mro__} & {*PLAIN_TEXT_ENCODING}:
            how.pop("lora_scale", None)
        return how

    def branches(self, pipe: DiffusionPipeline, *, guided: bool) -> tuple[Branch, ...]:
        """Return the branches of guidance in a batch.

        InstructPix2Pix has the prompt with the image first, then the image alone, then neither.
        """
        if any("InstructPix2Pix" in cls.__name__ for cls in type(pipe).__mro__):
            return ("prompt", "negative", "negative") if guided else ("prompt",)
        return super().branches(pipe, guided=guided)


def unet_layers(unet: nn.Module) -> list[Layer]:
    """List the cross-attention layers of a UNet in forward order (down, mid, up).

    Raises
    ------
    ModelError
        If the model has no cross-attention layers in its down, mid and up blocks, or others too.
    """
    config: Any = unwrap_module(unet).config
    flags = (config.get(f"{part}only_cross_attention") for part in ("", "mid_block_"))
    if any(any(flag) if isinstance(flag, list | tuple) else flag for flag in flags):
        raise ModelError(
            "this UNet attends to the prompt in attn1 too (only_cross_attention), whose heads have "
            "no published order; hrvlab reads UNets that do so in attn2 alone"
        )
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
        "StableDiffusionDepth2ImgPipeline",
        "StableDiffusionInstructPix2PixPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "StableDiffusionControlNetInpaintPipeline",
        "StableDiffusionAdapterPipeline",
        "StableDiffusionPAGPipeline",
        "StableDiffusionPAGImg2ImgPipeline",
        "StableDiffusionPAGInpaintPipeline",
        "StableDiffusionControlNetPAGPipeline",
        "StableDiffusionControlNetPAGInpaintPipeline",
        "LatentConsistencyModelPipeline",
        "LatentConsistencyModelImg2ImgPipeline",
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
        "StableDiffusionXLInstructPix2PixPipeline",
        "StableDiffusionXLControlNetPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
        "StableDiffusionXLControlNetUnionPipeline",
        "StableDiffusionXLControlNetUnionImg2ImgPipeline",
        "StableDiffusionXLControlNetUnionInpaintPipeline",
        "StableDiffusionXLAdapterPipeline",
        "StableDiffusionXLPAGPipeline",
        "StableDiffusionXLPAGImg2ImgPipeline",
        "StableDiffusionXLPAGInpaintPipeline",
        "StableDiffusionXLControlNetPAGPipeline",
        "StableDiffusionXLControlNetPAGImg2ImgPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
    denoisers=("UNet2DConditionModel",),
    words="the first CLIP's tokens, 77; both encoders' states are joined",
    sink_name="the start token",
    tested="the published head table; random pipelines",
)
