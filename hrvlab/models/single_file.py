"""Load a checkpoint that holds a whole pipeline in one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
from diffusers.loaders.single_file_utils import fetch_diffusers_config
from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from hrvlab.errors import ModelError
from hrvlab.models.components import FAILURES, check_complete, reason
from hrvlab.models.locate import PIPELINE, locate_model

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

# Under which such files keep the UNet, beside an encoder and a decoder.
UNET = "model.diffusion_model."


def find_config(path: Path, config: str | Path | None) -> str:
    """Return the pipeline that describes the architecture of a single-file checkpoint.

    Parameters
    ----------
    path : Path
        The checkpoint.
    config : str or Path, optional
        A pipeline folder or a hub id. By default the file's own folder, a folder of its name beside
        it, or the pipeline that diffusers takes such a file for, if it was downloaded.

    Returns
    -------
    str
        A folder or a hub id.

    Raises
    ------
    ModelError
        If the file cannot be read or holds no pipeline, or there is no configuration.
    """
    try:
        with safe_open(path, "pt") as file:
            keys = sorted(file.keys())
    except FAILURES as error:
        raise ModelError(
            f"cannot read the single-file checkpoint {path}: {reason(error)}"
        ) from error
    if not any(key.startswith(UNET) for key in keys):
        first = f"; its first is {keys[0]!r}" if keys else ""
        raise ModelError(
            f"{path} is a single file without a UNet (no weight begins with {UNET!r}{first}); give "
            "a file that holds a whole Stable Diffusion model (a LoRA is loaded into a model: give "
            "it as lora=, or to pipe.load_lora_weights)"
        )
    if config is not None:
        return locate_model(config)
    for folder in (path.parent, path.with_suffix("")):
        if (folder / PIPELINE).exists():
            return str(folder)
    usual = _usual_pipeline(path)
    index = try_to_load_from_cache(usual, PIPELINE) if usual else None
    if isinstance(index, str):
        return str(Path(index).parent)
    like = f" like {usual}, if it is of that kind" if usual else ""
    raise ModelError(
        f"{path} is a single-file checkpoint, which does not describe its architecture; give "
        f"config=, a pipeline folder (or a hub id) of the same architecture{like}"
    )


def _usual_pipeline(path: Path) -> str | None:
    """Return the hub id of the pipeline that diffusers takes a checkpoint for; None if unknown."""
    try:
        return str(fetch_diffusers_config(load_file(path))["pretrained_model_name_or_path"])
    except (*FAILURES, AttributeError):
        return None


def load_single_file(
    path: Path, config: str, index: Mapping[str, Any], dtype: torch.dtype
) -> DiffusionPipeline:
    """Load a single-file checkpoint as a pipeline.

    Parameters
    ----------
    path : Path
    config : str
        A pipeline folder or a hub id of the same architecture; its tokenizers and its scheduler are
        taken as well.
    index : mapping of str to object
        The configuration of that pipeline.
    dtype : torch.dtype
        Of the weights in memory.

    Returns
    -------
    diffusers.DiffusionPipeline

    Raises
    ------
    ModelError
        If the file does not fit the configuration, or lacks weights.
    """
    cls: Any = getattr(diffusers, str(index["_class_name"]))
    try:
        pipe = cls.from_single_file(str(path), config=config)
    except NotImplementedError as error:  # a weight without data cannot be moved to the CPU
        raise ModelError(
            f"the UNet or the VAE would be partly random: diffusers {diffusers.__version__} does "
            f"not find all of its weights in the single file {path}; fetch the file again, or give "
            "a config of the same architecture"
        ) from error
    except (*FAILURES, AttributeError, TypeError) as error:
        raise ModelError(
            f"the single file {path} does not fit the configuration of {config}: {reason(error)}"
        ) from error
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module):
            # Weights that are not found stay on the meta device.
            state = part.state_dict()
            check_complete(name, part, [key for key, value in state.items() if value.is_meta])
            nn.Module.to(part, dtype)  # the models' own method warns that some may need float32
    return pipe
