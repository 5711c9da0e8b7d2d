"""Load a pipeline by name, and identify models by their weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import HrvlabError, ModelError
from hrvlab.models.devices import choose_device
from hrvlab.models.families import family_of, find_family, refusal
from hrvlab.models.hub import explain_failure
from hrvlab.models.locate import locate_model

if TYPE_CHECKING:
    from torch import nn

SAMPLED_VALUES = 1024


def load(
    model: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
) -> DiffusionPipeline:
    """Load a supported text-to-image pipeline as a plain diffusers pipeline.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder written by ``save_pretrained``, or a hub id such as
        ``"CompVis/stable-diffusion-v1-4"``.
    dtype : torch.dtype
        Data type of the weights in memory.
    device : str or torch.device, optional
        By default the machine's accelerator (CUDA, MPS, …) if there is one, otherwise the CPU.

    Returns
    -------
    diffusers.DiffusionPipeline

    Raises
    ------
    ModelError
        If there is no such model, it has no safetensors weights, its family is not supported, or
        this machine has no such device.

    Examples
    --------
    >>> pipe = hl.load("miniature", device="cpu")
    >>> type(pipe).__name__
    'StableDiffusionPipeline'
    """
    source = locate_model(model)
    place = choose_device(device)
    try:
        _check_supported(source)
        pipe = DiffusionPipeline.from_pretrained(source, use_safetensors=True, **_in_dtype(dtype))
    except HrvlabError:
        raise
    except Exception as error:  # a damaged folder fails in many ways
        raise ModelError(explain_failure(source, error)) from error
    family_of(pipe)
    return pipe.to(place)


def _check_supported(source: str) -> None:
    """Check by its configuration that a pipeline is supported, before its weights are fetched."""
    index = DiffusionPipeline.load_config(source)
    if find_family([str(index["_class_name"])]) is not None:
        return
    part = "transformer" if "transformer" in index else "unet"
    cls: Any = getattr(diffusers, str(index.get(part, (None, None))[1]), None)
    denoiser = None
    if hasattr(cls, "from_config"):
        with torch.device("meta"):
            denoiser = cls.from_config(cls.load_config(source, subfolder=part))
    encoders = [value[1] for name, value in index.items() if "text_encoder" in name and value[1]]
    raise ModelError(refusal(str(index["_class_name"]), denoiser, encoders))


def _in_dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Return the dtype as a keyword of the installed diffusers; 0.40 renamed it."""
    renamed = tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 40)
    return {"dtype" if renamed else "torch_dtype": dtype}


def fingerprint(pipe: DiffusionPipeline) -> str:
    """Compute an identifier of a model from the weights of its UNet and of every text encoder.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline

    Returns
    -------
    str
        16 hexadecimal digits; equal for equal weights of the same dtype, on any device.
    """
    return weights_digest(pipe.unet, *family_of(pipe).text_encoders(pipe))


def weights_digest(*parts: nn.Module) -> str:
    """Compute an identifier of modules from samples of their weights.

    Returns
    -------
    str
        16 hexadecimal digits; equal for equal weights of the same dtype, on any device.
    """
    digest = hashlib.sha256()
    for part in map(unwrap_module, parts):
        digest.update(type(part).__name__.encode())
        state = part.state_dict()
        if any(tensor.is_meta for tensor in state.values()):  # offloaded by accelerate
            state = get_state_dict_offloaded_model(part)
        for name, tensor in sorted(state.items()):
            # A strided sample identifies a tensor without copying a gigabyte from the device.
            flat = tensor.detach().reshape(-1)
            values = flat[:: max(1, len(flat) // SAMPLED_VALUES)].float().cpu().numpy()
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(values.tobytes())
        for name, module in part.named_modules():
            if (strength := _adapter_strength(module)) is not None:
                digest.update(f"{name} {strength}".encode())
    return digest.hexdigest()[:16]


def _adapter_strength(module: Any) -> object:
    """Return the strength of an adapter, which is not among its weights; None without adapter."""
    if hasattr(module, "scaling") and hasattr(module, "active_adapters"):  # LoRA
        active = [] if module.disable_adapters else module.active_adapters
        return sorted((name, module.scaling[name]) for name in active)
    if hasattr(module, "to_k_ip"):  # IP-Adapter
        return module.scale
    return None


def scheduler_settings(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return the class and all settings of a pipeline's scheduler, as JSON."""
    settings = {name: v for name, v in pipe.scheduler.config.items() if not name.startswith("_")}
    return {"class": type(pipe.scheduler).__name__, **settings}
