"""Where a pipeline's weights wait while they are not needed, and how it decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hrvlab.errors import ModelError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.options import Offload


def place(pipe: DiffusionPipeline, device: torch.device, offload: Offload = "none") -> None:
    """Move a pipeline to the device that it computes on, or leave its weights to wait on the CPU.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        On the CPU.
    device : torch.device
    offload : {"none", "model", "sequential", "group"}
        By whole models, by layers, or by groups of layers.

    Raises
    ------
    ModelError
        If the device is the CPU, and weights should wait there by layers; or by groups of layers,
        where diffusers (0.39) needs an accelerator for that.
    """
    if offload == "none":
        pipe.to(device)
    elif offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "group":
        try:
            pipe.enable_group_offload(onload_device=device, num_blocks_per_group=1)
        except AttributeError as error:  # diffusers 0.39 asks for the accelerator's type
            if torch.accelerator.is_available():
                raise
            raise ModelError(
                "this version of diffusers lets groups of layers wait only where there is an "
                "accelerator; leave out offload='group', or update diffusers"
            ) from error
    elif device.type == "cpu":
        raise ModelError(
            "offload='sequential' lets weights wait on the CPU, where this model is anyway; "
            "leave it out"
        )
    else:
        pipe.enable_sequential_cpu_offload(device=device)


def set_decoding(pipe: DiffusionPipeline, *, slicing: bool, tiling: bool) -> None:
    """Set whether a pipeline decodes images one at a time, and in tiles.

    Raises
    ------
    ModelError
        If its autoencoder cannot.
    """
    for name, wanted in (("slicing", slicing), ("tiling", tiling)):
        if wanted:
            enable = getattr(pipe.vae, f"enable_{name}", None)
            if enable is None:
                raise ModelError(f"{type(pipe.vae).__name__} has no {name}; leave it out")
            enable()


def decoding_settings(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return how a pipeline decodes, as far as it is not the default, for plans."""
    settings = {"slicing": "use_slicing", "tiling": "use_tiling"}
    return {name: True for name, own in settings.items() if getattr(pipe.vae, own, False)}
