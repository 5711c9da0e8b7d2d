"""How a model is loaded and how it generates: options of `hrvlab.load`, commands and chapters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

Offload = Literal["none", "model", "sequential", "group"]
SIDES = 8  # diffusers takes multiples of it only


# What commands and chapters say of each option.
HELP: Mapping[str, str] = {
    "dtype": "of the weights: 'float32', 'float16' or 'bfloat16'",
    "device": "'cpu', 'cuda', 'mps', …; default: an accelerator if there is one",
    "variant": "of the weights on disk, such as 'fp16'",
    "config": "pipeline folder or hub id that describes a single-file model",
    "lora": "LoRA file or folder, and its scale, as in 'style.safetensors:0.8'",
    "offload": "where weights wait: 'none', 'model', 'sequential' or 'group'",
    "scheduler": "diffusers' scheduler, such as 'ddim'; default: the model's own",
    "slicing": "decode images one at a time",
    "tiling": "decode images in tiles",
    "steps": "denoising steps",
    "guidance_scale": "classifier-free guidance; default: the pipeline's own",
    "height": "of the images, in pixels, with a width; default: the model's own",
    "width": "of the images, in pixels, with a height; default: the model's own",
    "batch_size": "images that are generated together",
}


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model, whichever it is.

    Parameters
    ----------
    dtype : torch.dtype or str
        Data type of the weights in memory, such as ``torch.float16`` or ``"float16"``.
    device : str or torch.device, optional
        By default the machine's accelerator (CUDA, MPS, …) if there is one, otherwise the CPU.
    variant : str, optional
        Of the weights on disk, such as ``"fp16"``. By default the plain ones; a folder that holds
        one variant only is read as it is.
    config : str or Path, optional
        Of a single-file checkpoint, which does not describe its architecture: a pipeline folder of
        the same architecture, or a hub id. By default the folder that the file lies in, or one of
        the file's name beside it, or what diffusers takes for such a file, if it was downloaded.
    lora : str or sequence of str
        Files or folders of LoRA weights, or hub ids; a scale may follow, as in
        ``"style.safetensors:0.8"``.
    offload : {"none", "model", "sequential", "group"}
        Where weights wait while they are not needed: on the device; or on the CPU by whole models,
        by layers, or by groups of layers, which takes less memory of the device and more time.
    scheduler : str, optional
        Class of diffusers, such as ``"DDIMScheduler"``, or its short name, such as ``"ddim"`` or
        ``"euler"``; by default the model's own.
    slicing, tiling : bool
        Whether images are decoded one at a time, and in tiles: less memory for many and for large
        images.

    Raises
    ------
    ParameterError
        If ``offload`` or the scale of a LoRA is no such thing.
    """

    dtype: torch.dtype | str = "float32"
    device: str | torch.device | None = None
    variant: str | None = None
    config: str | Path | None = None
    lora: str | Sequence[str] = ()
    offload: Offload = "none"
    scheduler: str | None = None
    slicing: bool = False
    tiling: bool = False

    def __post_init__(self) -> None:
        if self.offload not in get_args(Offload):
            raise ParameterError(
                f"unknown offload {self.offload!r}; give {', '.join(map(repr, get_args(Offload)))}"
            )
        _ = self.loras

    @property
    def loras(self) -> list[tuple[str, float]]:
        """The source and the scale of every LoRA."""
        given = [self.lora] if isinstance(self.lora, str) else list(self.lora or ())
        return [split_scale(text) for text in given]


@dataclass(frozen=True)
class GenerationOptions:
    """How a model generates images.

    Parameters
    ----------
    steps : int
        Denoising steps.
    guidance_scale : float, optional
        Of classifier-free guidance; by default the pipeline's own.
    height, width : int, optional
        Of the images, in pixels; by default as the model was trained.
    batch_size : int
        Images that go through the model together.

    Raises
    ------
    ParameterError
        If the guidance is no number, a side is no multiple of 8, or one is given alone.

    Examples
    --------
    >>> hl.GenerationOptions(steps=20, guidance_scale=5.0).call
    {'num_inference_steps': 20, 'batch_size': 8, 'guidance_scale': 5.0}
    """

    steps: int = 50
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ParameterError(
                "give height and width together: diffusers may ignore one without the other"
            )
        check_generation(self.guidance_scale, self.height, self.width)

    @property
    def call(self) -> dict[str, Any]:
        """Keywords of every function that generates images; those that were set."""
        extra = {
            name: value
            for name in ("guidance_scale", "height", "width")
            if (value := getattr(self, name)) is not None
        }
        return {"num_inference_steps": self.steps, "batch_size": self.batch_size, **extra}


def check_generation(guidance_scale: Any, height: Any, width: Any) -> None:
    """Check the guidance and the size of images; None leaves either to the pipeline.

    Parameters
    ----------
    guidance_scale : float or None
    height, width : int or None

    Raises
    ------
    ParameterError
    """
    if guidance_scale is not None and not math.isfinite(guidance_scale):
        raise ParameterError(f"guidance_scale is {guidance_scale}; give a number, such as 7.5")
    for name, side in (("height", height), ("width", width)):
        if side is not None and (side < SIDES or side % SIDES):
            raise ParameterError(f"{name} is {side}; give a multiple of {SIDES}")


def split_scale(lora: str) -> tuple[str, float]:
    """Split what names a LoRA into its source and its scale.

    Parameters
    ----------
    lora : str
        Such as ``"style.safetensors:0.8"``.

    Returns
    -------
    source : str
    scale : float
        1 if none is given.

    Raises
    ------
    ParameterError
        If there is no source, or the scale is not finite.
    """
    source, colon, end = lora.rpartition(":")
    try:
        scale = float(end) if colon else 1.0
    except ValueError:  # the colon is part of a path
        source, scale = lora, 1.0
    else:
        source = source if colon else lora
    if not source.strip() or not math.isfinite(scale):
        raise ParameterError(
            f"cannot read the LoRA {lora!r}; give a file or a folder, and a scale if it is not 1, "
            "as in 'style.safetensors:0.8'"
        )
    return source, scale
