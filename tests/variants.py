"""Tiny pipelines of every supported class around a UNet, with random ControlNets and adapters."""

import inspect

import diffusers
import torch
from diffusers import ControlNetModel, ControlNetUnionModel, LCMScheduler, T2IAdapter

from tests.pipelines import BETAS, tiny_sd, tiny_sdxl, tiny_unet

# What the UNet of a class has more than that of plain generation.
UNETS = {
    "Depth2Img": {"in_channels": 5},
    "InstructPix2Pix": {"in_channels": 8},
    "LatentConsistency": {"time_cond_proj_dim": 8},
}


def variant(name, scheduler=None, change=None, **config):
    """Build a pipeline of a class by its name.

    `change` is applied to a plain pipeline of its parts before; `config` is of the UNet.
    """
    torch.manual_seed(0)
    base = tiny_sdxl() if "XL" in name else tiny_sd()
    extra = {"controlnet": control_net(base.unet, name), "adapter": adapter(base.unet, name)}
    more = next((own for part, own in UNETS.items() if part in name), {}) | config
    if more:
        plain = {key: own for key, own in base.unet.config.items() if not key.startswith("_")}
        base.register_modules(unet=tiny_unet(**(plain | more)))
    if scheduler is not None:
        base.scheduler = scheduler
    if "LatentConsistency" in name:
        base.scheduler = LCMScheduler(**BETAS)
    if change is not None:
        change(base)
    cls = getattr(diffusers, name)
    taken = inspect.signature(cls.__init__).parameters
    parts = base.components | extra | {"depth_estimator": None, "requires_safety_checker": False}
    own = cls(**{key: part for key, part in parts.items() if key in taken})
    own.set_progress_bar_config(disable=True)
    return own


def control_net(unet, name="ControlNet", seed=1):
    """Build a random ControlNet for a UNet, or a union of three kinds of control."""
    if "ControlNet" not in name:
        return None
    torch.manual_seed(seed)
    embedding = {"conditioning_embedding_out_channels": (8, 8)}
    if "Union" in name:
        taken = inspect.signature(ControlNetUnionModel.__init__).parameters
        config = {key: own for key, own in unet.config.items() if key in taken}
        net = ControlNetUnionModel(
            **config,
            **embedding,
            num_control_type=3,
            num_trans_channel=8,
            num_trans_head=2,
            num_proj_channel=8,
        )
    else:
        net = ControlNetModel.from_unet(unet, **embedding)
    # It begins as one that changes nothing.
    for part, parameter in net.named_parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.2 if "weight" in part else 0.05)
    return net.eval()


def adapter(unet, name="Adapter", seed=1):
    """Build a random T2I-Adapter for a UNet."""
    if "Adapter" not in name:
        return None
    torch.manual_seed(seed)
    channels = list(unet.config.block_out_channels)
    kind = ("full_adapter_xl", 4) if len(channels) == 3 else ("full_adapter", 2)
    return T2IAdapter(3, channels, 1, downscale_factor=kind[1], adapter_type=kind[0]).eval()
