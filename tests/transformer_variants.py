"""Tiny pipelines of every supported class around a transformer, with random ControlNets."""

import inspect

import diffusers
import torch
from diffusers import SanaControlNetModel
from diffusers.models.controlnets.controlnet_flux import FluxControlNetModel
from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetModel

from hrvlab.models.families import find_family
from tests.tiny_families import FAMILIES, tiny_cogview_4
from tests.tiny_joint import tiny_chroma, tiny_flux, tiny_sd3
from tests.tiny_transformers import SANA_CALL, tiny_pixart, tiny_sana, tiny_sprint

# Channels that are packed into one position: of the latents, of a control image, of a mask.
FLUX_CHANNELS = {"FluxFill": 16 + 16 + 16, "FluxControlNet": 16, "FluxControl": 16 + 16}
NETS = {"FLUX.1": FluxControlNetModel, "Stable Diffusion 3 and 3.5": SD3ControlNetModel}
LENGTH = {"max_sequence_length": 24}
PACKED = {"height": 16, "width": 16}
CALLS = {
    "PixArt-α and PixArt-Σ": LENGTH | {"use_resolution_binning": False, "num_inference_steps": 3},
    "Sana": SANA_CALL | {"num_inference_steps": 3},
    "Sana-Sprint": SANA_CALL | {"num_inference_steps": 2},
    "Stable Diffusion 3 and 3.5": LENGTH | {"num_inference_steps": 3},
    "FLUX.1": LENGTH | PACKED | {"num_inference_steps": 3},
    "Chroma": LENGTH | PACKED | {"num_inference_steps": 3},
}
for _name, _joint in FAMILIES.items():
    # Guided as each class is of itself.
    _own = {key: value for key, value in _joint.call.items() if key != "guidance_scale"}
    CALLS[_name] = _own | {"num_inference_steps": 3}
# What a tiny vocabulary changes of a pipeline.
SET = ("prompt_template_encode_start_idx",)


def family_name(name):
    """Return the name of the family of a class."""
    return find_family([name]).name


def base_of(name):
    """Build a pipeline from text alone, whose parts a class takes."""
    family = family_name(name)
    if family == "FLUX.1":
        channels = next((own for part, own in FLUX_CHANNELS.items() if part in name), 16)
        return tiny_flux(channels)
    if family.startswith("Stable"):
        return tiny_sd3(16 if name == "StableDiffusion3InpaintPipeline" else 4)
    if name == "CogView4ControlPipeline":
        return tiny_cogview_4(8)
    if family in FAMILIES:
        return FAMILIES[family].build()
    builders = {"Chroma": tiny_chroma, "Sana": tiny_sana, "Sana-Sprint": tiny_sprint}
    return builders.get(family, tiny_pixart)()


def transformer_variant(name, scheduler=None, **net):
    """Build a pipeline of a class by its name; `net` configures its ControlNet."""
    base = base_of(name)
    if scheduler is not None:
        base.scheduler = scheduler
    if type(base).__name__ == name:
        return base
    parts = dict(base.components)
    cls = getattr(diffusers, name)
    if "ControlNet" in name:
        parts["controlnet"] = control_net(name, base.transformer, net)
    if "PAG" in name:
        parts["pag_applied_layers"] = ["blocks.1"]
    taken = inspect.signature(cls.__init__).parameters
    pipe = cls(**{key: part for key, part in parts.items() if key in taken})
    for own in SET:
        if hasattr(base, own):
            setattr(pipe, own, getattr(base, own))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def control_net(name, transformer, net):
    """Build a random ControlNet for a transformer."""
    torch.manual_seed(1)
    kind = NETS.get(family_name(name), SanaControlNetModel)
    taken = inspect.signature(kind.__init__).parameters
    config = {key: own for key, own in transformer.config.items() if key in taken}
    config |= {"num_layers": 1, "num_single_layers": 1}
    if "Inpainting" in name:
        config["extra_conditioning_channels"] = 1
    built = kind(**{key: own for key, own in (config | net).items() if key in taken})
    # It begins as one that changes nothing.
    for part, parameter in built.named_parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.2 if "weight" in part else 0.05)
    return built.eval()
