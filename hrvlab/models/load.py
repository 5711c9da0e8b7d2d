"""Load a pipeline by name and tell models apart by their weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn

from hrvlab.errors import ModelError
from hrvlab.models.families import family_of
from hrvlab.paths import data_path

MINIATURE = "miniature"
SAMPLED_VALUES = 1024


def load(
    model: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
) -> DiffusionPipeline:
    """Load a supported text-to-image pipeline; what comes back is plain diffusers.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder written by ``save_pretrained``, or a hub id such as
        ``"CompVis/stable-diffusion-v1-4"``.
    dtype : torch.dtype
        Of the weights in memory.
    device : str or torch.device, optional
        Default: the machine's accelerator (CUDA, MPS, …) if it has one, else the CPU.

    Returns
    -------
    diffusers.DiffusionPipeline

    Raises
    ------
    ModelError
        If there is no such model, it has no safetensors weights, or its family is not supported.
    """
    path = data_path(MINIATURE) if str(model) == MINIATURE else Path(model)
    is_folder = path.is_dir()
    if is_folder and not (path / "model_index.json").exists():
        raise ModelError(
            f"the folder {model} holds no model_index.json; give a folder that a diffusers "
            "pipeline was saved to with save_pretrained"
        )
    if not is_folder and str(model).count("/") != 1:
        raise ModelError(
            f"unknown model {str(model)!r}; give 'miniature', a pipeline folder, or a hub id such "
            "as 'CompVis/stable-diffusion-v1-4'"
        )
    source = str(path) if is_folder else str(model)
    try:
        pipe = DiffusionPipeline.from_pretrained(source, dtype=dtype, use_safetensors=True)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"cannot load {source!r}: {reason}") from error
    family_of(pipe)
    return pipe.to(device or torch.accelerator.current_accelerator(check_available=True) or "cpu")


def fingerprint(pipe: DiffusionPipeline) -> str:
    """Identify a model by the weights of its UNet and text encoder.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline

    Returns
    -------
    str
        16 hexadecimal digits; the same wherever the same weights lie, in the same dtype.
    """
    return weights_digest(pipe.unet, pipe.text_encoder)


def weights_digest(*parts: nn.Module) -> str:
    """Identify modules by samples of their weights.

    Returns
    -------
    str
        16 hexadecimal digits; the same wherever the same weights lie, in the same dtype.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(type(part).__name__.encode())
        for name, tensor in sorted(part.state_dict().items()):
            # A strided sample pins a tensor without copying a gigabyte from the device.
            flat = tensor.detach().reshape(-1)
            values = flat[:: max(1, len(flat) // SAMPLED_VALUES)].float().cpu().numpy()
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()[:16]


def scheduler_settings(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Give all that determines what a pipeline's scheduler does, as JSON."""
    settings = {name: v for name, v in pipe.scheduler.config.items() if not name.startswith("_")}
    return {"class": type(pipe.scheduler).__name__, **settings}
