"""Forecasts of the bytes and hours that a run will take, and of its chunk size."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from hrvlab.errors import ParameterError
from hrvlab.models.families import denoiser_of
from hrvlab.models.layers import default_size

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.layers import Layer

FLOAT = COUNT = 4
SUM = 8
# Large enough to be read efficiently, small enough for many to fit into memory.
CHUNK_BYTES = 16 * 1024**2
# Keywords of pipelines with an SCM scheduler.
LIMITS = ("max_timesteps", "intermediate_timesteps")
# A keyword of pipelines of latent consistency models.
ORIGINAL_STEPS = "original_inference_steps"

# Pipelines that ignore a height without a width, and a width without a height.
BOTH_SIDES = {"StableDiffusionPipeline"}


def capture_bytes(
    layers: Sequence[Layer],
    *,
    prompts: int,
    calls: int,
    tokens: int,
    image_size: tuple[int, int],
    words: int = 0,
    map_sizes: Sequence[tuple[int, int] | None] = (),
) -> dict[str, int]:
    """Forecast the size of each variable of a capture.

    Parameters
    ----------
    layers : sequence of Layer
    prompts, calls, tokens : int
    image_size : tuple of int
        Height and width of the images, in pixels.
    words : int
        Number of words whose spatial maps are kept.
    map_sizes : sequence of tuple of int or None
        For each layer, height and width of its maps; None: its maps are not kept.

    Returns
    -------
    dict of str to int
        Bytes of ``attention``, ``image`` and ``maps``, and of ``text_mass`` in joint attention, all
        layers padded to the largest number of heads.
    """
    widest = max(layer.heads for layer in layers)
    joint = any(layer.text != "alone" for layer in layers)
    mass = FLOAT * prompts * calls * len(layers) * widest
    positions = sum(math.prod(size) for size in map_sizes if size)
    return {
        "attention": mass * tokens,
        "image": 3 * prompts * math.prod(image_size),
        "maps": FLOAT * prompts * calls * widest * words * positions,
        **({"text_mass": mass} if joint else {}),
    }


def forecast_calls(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> int:
    """Forecast the denoiser calls of a generation; some schedulers make more of them than steps.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
        Keywords of its own call.

    Returns
    -------
    int
        At most so many.

    Raises
    ------
    ParameterError
        If the scheduler does not take the steps or timesteps.
    """
    scheduler = copy.deepcopy(pipe.scheduler)
    own = {name: call[name] for name in ("timesteps", "sigmas") if call.get(name) is not None}
    there = inspect.signature(type(pipe).__call__).parameters
    limits = {name: _keyword(pipe, call, name) for name in LIMITS if name in there}
    steps = _keyword(pipe, call, "num_inference_steps")
    strength = _keyword(pipe, call, "strength")
    # Pipelines of latent consistency models leave the strength to their scheduler.
    consistency = ORIGINAL_STEPS in there
    more = dict(limits)
    if scheduler.config.get("use_dynamic_shifting"):
        more["mu"] = 1.0  # it shifts timesteps by the size of the image; their number stays
    if consistency:
        more[ORIGINAL_STEPS] = call.get(ORIGINAL_STEPS)
        more["strength"] = 1.0 if strength is None else strength
    try:
        if own and not limits:
            scheduler.set_timesteps(**own, **more)
        else:
            scheduler.set_timesteps(steps, **own, **more)
    except (TypeError, ValueError, ZeroDivisionError, IndexError) as error:
        given = ", ".join(own) or f"num_inference_steps={call.get('num_inference_steps')}"
        raise ParameterError(
            f"{type(scheduler).__name__} does not take {given}: {' '.join(str(error).split())}"
        ) from error
    timesteps = scheduler.timesteps
    # A start of one's own takes the place of the strength.
    if strength is not None and not consistency and call.get("denoising_start") is None:
        # Pipelines round in different ways; of themselves they take the scheduler alone.
        made = len(timesteps) if own else int(scheduler.num_inference_steps)
        own_rule: Any = type(pipe).get_timesteps
        timesteps, _ = own_rule(SimpleNamespace(scheduler=scheduler), made, strength, "cpu")
    # A scheduler with limits lists the end too, at which the denoiser is not called.
    calls = len(timesteps) - bool(limits)
    if calls < 1:
        raise ParameterError(
            f"strength={strength} of the steps is less than one step; give more steps, or a "
            "larger strength"
        )
    return calls


def forecast_latent_size(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> tuple[int, int]:
    """Forecast the size of a generation's latents.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
        Keywords of its own call.

    Returns
    -------
    height, width : int
    """
    latents = call.get("latents")
    if latents is not None and latents.ndim == 4:  # not packed
        height, width = latents.shape[-2:]
        return int(height), int(width)
    sides = inspect.signature(type(pipe).__call__).parameters
    given = [call.get("height"), call.get("width")]
    if None in given and type(pipe).__name__ in BOTH_SIDES:
        given = [None, None]
    image = call.get("image", call.get("control_image"))
    controlled = hasattr(pipe, "controlnet") or hasattr(pipe, "adapter")
    if image is None or ("height" in sides and not controlled):
        shape = [side * pipe.vae_scale_factor for side in default_size(denoiser_of(pipe))]
    else:
        shape = _image_size(pipe, image)
    height, width = (
        side if own is None else int(own) for own, side in zip(given, shape, strict=True)
    )
    return height // pipe.vae_scale_factor, width // pipe.vae_scale_factor


def _image_size(pipe: DiffusionPipeline, image: Any) -> list[int]:
    """Return height and width of the first of a call's images, in pixels."""
    while isinstance(image, list | tuple):
        image = image[0]
    if isinstance(image, np.ndarray):
        return [int(side) for side in image.shape[-3:-1]]
    if hasattr(image, "shape"):  # a tensor
        latents = image.shape[-3] == pipe.vae.config.latent_channels
        return [int(side) * (pipe.vae_scale_factor if latents else 1) for side in image.shape[-2:]]
    width, height = image.size
    return [height, width]


def _keyword(pipe: DiffusionPipeline, call: Mapping[str, Any], name: str) -> Any:
    """Return a keyword of a pipeline's call, or its default; None if there is no such keyword."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    return call.get(name, parameters[name].default) if name in parameters else None


@dataclass(frozen=True)
class Forecast:
    """The time and space that a run of `hrvlab.collect_votes` takes.

    Parameters
    ----------
    hours : float
    read : int
        Bytes of weights that the workers read, and of finished batches when they are combined.
    written : int
        Bytes of finished batches and of the result, before compression.
    memory : int
        Bytes of weights and counts that a worker holds, besides what a denoiser call needs.
    chunk : int
        Prompts in one chunk of the result.
    """

    hours: float
    read: int
    written: int
    memory: int
    chunk: int


def forecast_votes(
    *,
    head_positions: int,
    weights: int,
    prompts: int,
    seconds_per_call: float,
    overhead: float = 0.0,
    workers: int = 1,
    calls: int = 51,
    concepts: int = 34,
    batch_size: int = 8,
) -> Forecast:
    """Forecast the time and space that `hrvlab.collect_votes` takes.

    Parameters
    ----------
    head_positions : int
        Number of the model's heads.
    weights : int
        Bytes of the model's weights.
    prompts : int
    seconds_per_call : float
        Duration of one guided denoiser call for one image.
    overhead : float
        Time that the hooks add to it, as a share.
    workers : int
        Devices that generate at the same time.
    calls : int
        Denoiser calls per image.
    concepts, batch_size : int

    Returns
    -------
    Forecast
    """
    row = COUNT * head_positions * concepts
    batches = math.ceil(prompts / batch_size)
    # Each finished batch has its prompts' votes, and its own sums by call.
    finished = prompts * row + batches * calls * row
    result = prompts * row + SUM // COUNT * calls * row
    return Forecast(
        hours=prompts * calls * seconds_per_call * (1 + overhead) / workers / 3600,
        read=workers * weights + finished,
        written=finished + result,
        memory=weights + batch_size * row + 2 * SUM // COUNT * calls * row,
        chunk=max(1, CHUNK_BYTES // row),
    )
