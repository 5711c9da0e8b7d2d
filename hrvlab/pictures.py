"""Images that a pipeline is called with: one for all prompts or one for each, by ControlNet."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

PICTURES = (
    "image", "mask_image", "masked_image_latents", "control_image", "control_mask", "depth_map",
)  # fmt: skip
# Of those that paint in a mask, the ones that take latents as the image.
PAINT_LATENTS = {"StableDiffusionXLInpaintPipeline", "StableDiffusionXLPAGInpaintPipeline"}
CHANNELS = 3  # the dim of channels, from the last
# Dims of a batch of arrays.
BATCH_DIMS = {"depth_map": 3}


@dataclass(frozen=True)
class PerPrompt:
    """Values of a keyword, one for each prompt.

    Parameters
    ----------
    values : sequence, or Tensor or ndarray whose first dim is the prompt
    copies : int
        How often a batch has each of them, one after another.
    """

    values: Any
    copies: int = 1

    def take(self, indices: Sequence[int]) -> Any:
        """Return the values of some prompts, by their numbers."""
        rows = [index for index in indices for _ in range(self.copies)]
        if isinstance(self.values, torch.Tensor | np.ndarray):
            return self.values[rows]
        return [self.values[row] for row in rows]


@dataclass(frozen=True)
class PerControl:
    """Values of a keyword, one for each ControlNet, adapter or control mode.

    Parameters
    ----------
    values : tuple
        Each may be a `PerPrompt`.
    """

    values: tuple[Any, ...]

    def take(self, indices: Sequence[int]) -> list[Any]:
        """Return the values for some prompts, by their numbers."""
        return [one.take(indices) if isinstance(one, PerPrompt) else one for one in self.values]


def as_pictures(
    pipe: DiffusionPipeline, name: str, value: Any, *, prompts: int, copies: int
) -> Any:
    """Return images as batches of a pipeline's calls take them.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    name : str
        Of the keyword.
    value : object
        An image, or one for each prompt; for several ControlNets, adapters or control modes a list
        with those of each.
    prompts, copies : int
        Number of prompts, and ``num_images_per_prompt``.

    Returns
    -------
    PerPrompt, PerControl, or the value itself

    Raises
    ------
    ParameterError
        If there is another number of images than of prompts or ControlNets, or the pipeline would
        give them to other prompts.
    """
    control = control_of(pipe, name)
    parts = getattr(control, "nets", getattr(control, "adapters", None))
    modes = "ControlNetUnionModel" in type(control).__name__ and isinstance(value, list)
    if parts is None and not modes:
        return _of_prompts(pipe, name, value, prompts, copies)
    if not isinstance(value, list) or not value:
        raise ParameterError(f"{name} is no list; give one with an image for each {_kind(pipe)}")
    if isinstance(value[0], list) and _prompt_by_prompt(pipe, name):
        check_number(name, value, prompts, "prompt")
        for one in value:
            check_number(name, one, len(parts or one), _kind(pipe))
        return PerPrompt(value)
    if type(control).__name__ == "MultiControlNetModel" and any(isinstance(v, list) for v in value):
        raise ParameterError(
            f"{type(pipe).__name__} takes no lists of images of several ControlNets; give those of "
            f"each in one tensor of shape (prompt, channel, y, x), in {name}"
        )
    if parts is not None:
        check_number(name, value, len(parts), _kind(pipe))
    return PerControl(tuple(_of_prompts(pipe, name, one, prompts, copies) for one in value))


def check_image_latents(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> None:
    """Check that a pipeline which paints in a mask takes latents where it is given some.

    Most multiply the image with the mask in pixels, and fail at latents, which are smaller.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
        Keywords of its own call.

    Raises
    ------
    ParameterError
    """
    keywords = inspect.signature(type(pipe).__call__).parameters
    image, name = call.get("image"), type(pipe).__name__
    first = image.values if isinstance(image, PerPrompt) else image
    first = first[0] if isinstance(first, list | tuple) and first else first
    if (
        "mask_image" not in keywords
        or not isinstance(first, torch.Tensor)
        or first.ndim < CHANNELS
        or first.shape[-CHANNELS] != pipe.vae.config.latent_channels
        or name in PAINT_LATENTS
        or call.get("masked_image_latents") is not None
    ):
        return
    more = ", or masked_image_latents too" if "masked_image_latents" in keywords else ""
    raise ParameterError(
        f"{name} multiplies image with the mask in pixels, and so takes no latents; give the image "
        f"itself{more}"
    )


def check_adapter_scales(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> None:
    """Check that several adapters have a scale each; diffusers fails at its own default.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
        Keywords of its own call.

    Raises
    ------
    ParameterError
    """
    if not hasattr(pipe, "adapter") or not hasattr(unwrap_module(pipe.adapter), "adapters"):
        return
    adapters = unwrap_module(pipe.adapter).adapters
    scales = call.get("adapter_conditioning_scale")
    if not isinstance(scales, list | tuple) or len(scales) != len(adapters):
        ones = [1.0] * len(adapters)
        raise ParameterError(
            f"adapter_conditioning_scale is {scales!r}; give a list with a number for each of the "
            f"{len(adapters)} adapters, such as {ones}"
        )


def control_of(pipe: DiffusionPipeline, name: str) -> nn.Module | None:
    """Return the ControlNets or adapters that are given a keyword's images; None: it is no such."""
    control = getattr(pipe, "controlnet", getattr(pipe, "adapter", None))
    keywords = inspect.signature(type(pipe).__call__).parameters
    own = "control_image" if "control_image" in keywords else "image"
    return unwrap_module(control) if control is not None and name == own else None


def _prompt_by_prompt(pipe: DiffusionPipeline, name: str) -> bool:
    """Whether a list in a list has the images of a prompt, not those of a ControlNet."""
    text_to_image = name == "image" and hasattr(pipe, "controlnet")
    return text_to_image and not hasattr(pipe, "text_encoder_2")


def _kind(pipe: DiffusionPipeline) -> str:
    return "ControlNet" if hasattr(pipe, "controlnet") else "adapter"


def _of_prompts(pipe: DiffusionPipeline, name: str, value: Any, prompts: int, copies: int) -> Any:
    """Return an image, or one for each prompt, as batches take them."""
    control = control_of(pipe, name) is not None
    adapter = control and hasattr(pipe, "adapter")
    if adapter and isinstance(value, np.ndarray):
        raise ParameterError(f"{name} is an array; adapters take images of PIL, or tensors")
    if not _is_batch(name, value):
        # Adapters do not repeat the image of several prompts.
        return PerPrompt([value] * prompts) if adapter else value
    if len(value) == 1:
        return PerPrompt([value[0]] * prompts) if adapter else value
    check_number(name, value, prompts, "prompt")
    if adapter and copies > 1:
        raise ParameterError(
            f"{type(pipe).__name__} gives the images of {name} to other prompts if each has "
            "several; give several seeds, and leave out num_images_per_prompt"
        )
    # Pipelines repeat control images in the order of the prompts, and all other images in another.
    return PerPrompt(value, 1 if control or name.startswith("control_") else copies)


def _is_batch(name: str, value: Any) -> bool:
    """Whether a value is a batch of images, not a single one."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.ndim == BATCH_DIMS.get(name, 4)
    return isinstance(value, Sequence)


def check_number(name: str, values: Any, number: int, of: str) -> None:
    """Check that there is one value for each prompt, image or ControlNet."""
    if len(values) != number:
        raise ParameterError(
            f"{name} has {len(values)} values, there are {number} {of}s; give one for each"
        )
