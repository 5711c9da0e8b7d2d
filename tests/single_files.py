"""Write a Stable Diffusion 1.x pipeline as a single file, as model sharing sites give them."""

import re

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE_NAMES = {
    r"down_blocks\.(\d+)\.resnets\.": r"down.\1.block.",
    r"down_blocks\.(\d+)\.downsamplers\.0": r"down.\1.downsample",
    r"mid_block\.resnets\.0": "mid.block_1",
    r"mid_block\.resnets\.1": "mid.block_2",
    r"mid_block\.attentions\.0": "mid.attn_1",
    "conv_shortcut": "nin_shortcut",
    "conv_norm_out": "norm_out",
    "group_norm": "norm",
    r"to_([qkv])\.": r"\1.",
    r"to_out\.0": "proj_out",
}


def save_single_file(pipe: StableDiffusionPipeline, path) -> None:
    """Save a pipeline's weights under the names of the original Stable Diffusion."""
    weights = {}
    for name, value in pipe.unet.state_dict().items():
        weights[f"model.diffusion_model.{_unet_name(pipe.unet, name)}"] = value
    for name, value in pipe.vae.state_dict().items():
        weights[f"first_stage_model.{_vae_name(pipe.vae, name)}"] = value
    for name, value in pipe.text_encoder.state_dict().items():
        weights[f"cond_stage_model.transformer.text_model.{name}"] = value
    save_file({name: value.contiguous() for name, value in weights.items()}, path)


def _unet_name(unet: nn.Module, name: str) -> str:
    for new, old in (UNET_ENDS | _numbers(unet)).items():
        if name.startswith(f"{new}."):
            rest = name.removeprefix(f"{new}.")
            if ".resnets." in new:
                part, _, last = rest.rpartition(".")
                rest = f"{UNET_RESNET[part]}.{last}"
            return f"{old}.{rest}"
    raise KeyError(name)


def _numbers(unet: nn.Module) -> dict[str, str]:
    """Number the blocks of a UNet as the original does: in one sequence down, and one up."""
    numbers, at = {}, 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            numbers[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{at}.0"
            numbers[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{at}.1"
            at += 1
        if block.downsamplers:
            numbers[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{at}.0.op"
            at += 1
    at = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            numbers[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{at}.0"
            numbers[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{at}.1"
            at += 1
        if block.upsamplers:
            last = 2 if hasattr(block, "attentions") else 1
            numbers[f"up_blocks.{i}.upsamplers.0"] = f"output_blocks.{at - 1}.{last}"
    return numbers


def _vae_name(vae: nn.Module, name: str) -> str:
    for new, old in VAE_NAMES.items():
        name = re.sub(new, old, name)
    last = len(vae.decoder.up_blocks) - 1
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{last - int(m[1])}.block.", name)
    return re.sub(
        r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name
    )


def same_weights(one: StableDiffusionPipeline, other: StableDiffusionPipeline) -> bool:
    """Tell whether the models of two pipelines have bitwise the same weights."""
    return all(
        torch.equal(value, getattr(other, part).state_dict()[name])
        for part in ("unet", "vae", "text_encoder")
        for name, value in getattr(one, part).state_dict().items()
    )
