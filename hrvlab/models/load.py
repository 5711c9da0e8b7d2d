"""Load a pipeline by name, and identify models by their weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import diffusers
import torch
from accelerate.utils.modeling import get_state_dict_offloaded_model
from diffusers import DiffusionPipeline
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import HrvlabError, ModelError, ParameterError
from hrvlab.models.adapters import adapter_strength, names_that_count
from hrvlab.models.components import load_components
from hrvlab.models.devices import choose_device
from hrvlab.models.families import family_of, find_family, refusal
from hrvlab.models.hub import explain_failure
from hrvlab.models.locate import locate_model
from hrvlab.models.lora import add_loras
from hrvlab.models.memory import place, set_decoding
from hrvlab.models.schedulers import find_scheduler
from hrvlab.models.single_file import find_config, load_single_file
from hrvlab.options import LoadOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hrvlab.options import Offload

SAMPLED_VALUES = 1024
# The options of the pipelines that are there, for those who load them again elsewhere.
LOADED: WeakKeyDictionary[DiffusionPipeline, LoadOptions] = WeakKeyDictionary()


def load(
    model: str | Path,
    *,
    dtype: torch.dtype | str = "float32",
    device: str | torch.device | None = None,
    variant: str | None = None,
    config: str | Path | None = None,
    lora: str | Sequence[str] = (),
    offload: Offload = "none",
    scheduler: str | None = None,
    slicing: bool = False,
    tiling: bool = False,
) -> DiffusionPipeline:
    """Load a supported text-to-image pipeline as a plain diffusers pipeline.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder written by ``save_pretrained``, a single-file checkpoint
        (``.safetensors``), or a hub id such as ``"CompVis/stable-diffusion-v1-4"``.
    dtype, device, variant, config, lora, offload, scheduler, slicing, tiling
        See `hrvlab.options.LoadOptions`.

    Returns
    -------
    diffusers.DiffusionPipeline

    Raises
    ------
    ModelError
        If there is no such model, it has no safetensors weights, weights are missing or do not fit,
        its family is not supported, or this machine has no such device; the same of a LoRA.
    ParameterError
        If there is no such dtype, variant or scheduler, or a parameter does not apply to the model.

    Examples
    --------
    >>> pipe = hl.load("miniature", device="cpu", scheduler="ddim")
    >>> type(pipe).__name__, type(pipe.scheduler).__name__
    ('StableDiffusionPipeline', 'DDIMScheduler')
    """
    options = LoadOptions(dtype, device, variant, config, lora, offload, scheduler, slicing, tiling)
    source = locate_model(model)
    kind, place_of_weights = _dtype(dtype), choose_device(device)
    pipe = (
        _load_file(Path(source), kind, options)
        if Path(source).is_file()
        else _load_saved(source, kind, options)
    )
    family_of(pipe)
    if scheduler is not None:
        cls: Any = find_scheduler(scheduler, type(pipe.scheduler).__name__)
        pipe.scheduler = cls.from_config(pipe.scheduler.config)
    add_loras(pipe, options.loras)
    set_decoding(pipe, slicing=slicing, tiling=tiling)
    place(pipe, place_of_weights, offload)
    LOADED[pipe] = options
    return pipe


def loaded_with(pipe: DiffusionPipeline) -> LoadOptions:
    """Return the options with which a pipeline was loaded by `load`; else the defaults."""
    return LOADED.get(pipe, LoadOptions())


def _load_file(path: Path, dtype: torch.dtype, options: LoadOptions) -> DiffusionPipeline:
    if options.variant is not None:
        raise ParameterError(f"{path} is a single file, which has no variants; leave out variant")
    source = find_config(path, options.config)
    return load_single_file(path, source, _supported_index(source, options.scheduler), dtype)


def _load_saved(source: str, dtype: torch.dtype, options: LoadOptions) -> DiffusionPipeline:
    variant = options.variant
    if options.config is not None:
        raise ParameterError(f"config is for single files, and {source} is none; leave it out")
    index = _supported_index(source, options.scheduler)
    try:
        folder = source
        if not Path(source).is_dir():
            folder = DiffusionPipeline.download(source, use_safetensors=True, variant=variant)
        parts = load_components(Path(folder), index, variant, dtype)
        with _quiet_about_parts():
            return DiffusionPipeline.from_pretrained(
                source, use_safetensors=True, variant=variant, **_in_dtype(dtype), **parts
            )
    except HrvlabError:
        raise
    except Exception as error:  # a damaged folder fails in many ways
        raise ModelError(explain_failure(source, error)) from error


def _supported_index(source: str, scheduler: str | None) -> dict[str, Any]:
    """Return a pipeline's configuration, after checking its family and the wanted scheduler."""
    try:
        index = DiffusionPipeline.load_config(source)
    except Exception as error:
        raise ModelError(explain_failure(source, error)) from error
    if find_family([str(index["_class_name"])]) is not None:
        if scheduler is not None:
            find_scheduler(scheduler, str(index["scheduler"][1]))
        return index
    part = "transformer" if "transformer" in index else "unet"
    cls: Any = getattr(diffusers, str(index.get(part, (None, None))[1]), None)
    denoiser = None
    if hasattr(cls, "from_config"):
        with torch.device("meta"):
            denoiser = cls.from_config(cls.load_config(source, subfolder=part))
    encoders = [value[1] for name, value in index.items() if "text_encoder" in name and value[1]]
    raise ModelError(refusal([str(index["_class_name"])], denoiser, encoders))


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    """Return a floating dtype that was given by itself or by its name."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if isinstance(found, torch.dtype) and found.is_floating_point:
        return found
    raise ParameterError(f"unknown dtype {dtype!r}; give 'float32', 'float16' or 'bfloat16'")


@contextmanager
def _quiet_about_parts() -> Iterator[None]:
    """Hide the warning that diffusers cannot know the class of a part that is given to it."""
    logger = logging.getLogger("diffusers.pipelines.pipeline_loading_utils")

    def wanted(record: logging.LogRecord) -> bool:
        return "non-standard module" not in record.getMessage()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def _in_dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Return the dtype as a keyword of the installed diffusers; 0.40 renamed it."""
    renamed = tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 40)
    return {"dtype" if renamed else "torch_dtype": dtype}


def fingerprint(pipe: DiffusionPipeline) -> str:
    """Compute an identifier of a model from the weights of its denoiser and of all text encoders.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline

    Returns
    -------
    str
        16 hexadecimal digits; equal for equal weights of the same dtype, on any device.
    """
    family = family_of(pipe)
    return weights_digest(family.denoiser(pipe), *family.text_encoders(pipe))


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
            state = _offloaded_state(part)
        counted = names_that_count(part, state.keys())
        for name, tensor in sorted((counted[name], state[name]) for name in counted):
            # A strided sample identifies a tensor without copying a gigabyte from the device.
            flat = _plain(tensor).reshape(-1)
            values = flat[:: max(1, len(flat) // SAMPLED_VALUES)].float().cpu().numpy()
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(values.tobytes())
        for name, module in part.named_modules():
            if (strength := adapter_strength(module)) is not None:
                digest.update(f"{name} {strength}".encode())
    return digest.hexdigest()[:16]


def _plain(tensor: Tensor) -> Tensor:
    """Return a tensor without its gradient; of quantized weights, the values they stand for."""
    plain = tensor.detach()
    return plain.dequantize() if hasattr(plain, "__tensor_flatten__") else plain


def _offloaded_state(part: nn.Module) -> dict[str, Any]:
    """Return the weights of a module that accelerate has offloaded."""
    state: dict[str, Any] = get_state_dict_offloaded_model(part)
    # Accelerate's function leaves out the weights that are not within a part of the module.
    own: Any = getattr(part, "_hf_hook", None)
    stores = [getattr(hook, "weights_map", None) for hook in getattr(own, "hooks", [own])]
    for name, weight in part.named_parameters(recurse=False):
        if weight.is_meta:
            state[name] = next(store[name] for store in stores if store is not None)
    return state


def surroundings(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Describe what acts on generations beside the model that vectors belong to, as JSON.

    Returns
    -------
    dict of str to object
        Digests of ControlNets and adapters, and the layers of perturbed-attention guidance; empty
        for a plain pipeline.
    """
    parts = {name: getattr(pipe, name, None) for name in ("controlnet", "adapter")}
    found: dict[str, Any] = {
        name: weights_digest(part) for name, part in parts.items() if part is not None
    }
    if hasattr(pipe, "pag_applied_layers"):
        found["pag_applied_layers"] = list(pipe.pag_applied_layers)
    return found


def scheduler_settings(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return the class and all settings of a pipeline's scheduler, as JSON."""
    settings = {name: v for name, v in pipe.scheduler.config.items() if not name.startswith("_")}
    return {"class": type(pipe.scheduler).__name__, **settings}
