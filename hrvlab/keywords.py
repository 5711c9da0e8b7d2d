"""Keywords of a pipeline's own call: checked before it runs, and cut into batches."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hrvlab.errors import ParameterError
from hrvlab.faults import NOT_REPEATED, check_pairs, check_taken
from hrvlab.forecast import forecast_calls
from hrvlab.models.families import family_of
from hrvlab.options import check_generation
from hrvlab.pictures import (
    PICTURES,
    PerControl,
    PerPrompt,
    as_pictures,
    check_adapter_scales,
    check_image_latents,
    check_number,
)

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# Keywords that hrvlab sets itself or replaces, each with the reason.
NEVER = {
    "prompt": "the prompts are given as the first argument",
    "prompt_2": "both text encoders take the same prompt",
    "prompt_3": "all text encoders take the same prompt",
    "output_type": "images are returned as arrays of uint8",
    "return_dict": "images are returned as arrays of uint8",
}
# Keywords that most pipelines no longer state, but would still take.
REPLACED = {
    "callback": "diffusers replaced it by callback_on_step_end",
    "callback_steps": "diffusers replaced it by callback_on_step_end",
}
EMBEDDINGS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_attention_mask",
    "prompt_embeds_mask",
    "negative_prompt_embeds_mask",
)
TEXTS = ("negative_prompt", "negative_prompt_2", "negative_prompt_3")
PER_IMAGE = ("latents", "generator")
TENSORS = ("latents", *EMBEDDINGS)
NUMBERS = ("timesteps", "sigmas")


@dataclass(frozen=True)
class PerImage:
    """Values of a keyword, one for each image, prompt by prompt, seed by seed.

    Parameters
    ----------
    values : sequence or Tensor
    """

    values: Any

    def twice(self) -> PerImage:
        """Return every value twice, for pairs of images that begin alike."""
        if isinstance(self.values, torch.Tensor):
            return PerImage(self.values.repeat_interleave(2, dim=0))
        return PerImage([copy for one in self.values for copy in (one, one.clone_state())])


def refuse(call: Mapping[str, Any], keywords: Collection[str], why: str) -> None:
    """Check that keywords of the pipeline's own call are not given.

    Parameters
    ----------
    call : mapping of str to object
        The keywords that are given.
    keywords : collection of str
        The ones that are not allowed.
    why : str
        The reason, for the error.

    Raises
    ------
    ParameterError
        With the reason, and the keywords to leave out.
    """
    if taken := sorted({*keywords} & call.keys()):
        raise ParameterError(f"{why}; leave out {', '.join(taken)}")


def check_call(
    pipe: DiffusionPipeline, call: Mapping[str, Any], *, prompts: int, images: int
) -> dict[str, Any]:
    """Check keywords of a pipeline's call, and tell those that differ between prompts.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
    prompts, images : int
        Number of prompts, and of all their images before ``num_images_per_prompt``.

    Returns
    -------
    dict of str to object
        Numbers of numpy and pandas as Python's; values that are given for each prompt or image as
        `PerPrompt` or `PerImage`. For `hrvlab.generation.run_pipeline`.

    Raises
    ------
    ParameterError
        If a keyword does not exist or is set by hrvlab, there is another number of values than of
        prompts, the guidance or the size cannot be, or the scheduler does not take the steps.
    ModelError
        If the pipeline is not supported.
    """
    family = family_of(pipe)
    there = [name for name in inspect.signature(type(pipe).__call__).parameters if name != "self"]
    check_pairs(call, masked="prompt_attention_mask" in there and not family.by_mode)
    family.check_keywords(call)
    found = {}
    for name, value in call.items():
        if name in NEVER:
            raise ParameterError(f"{NEVER[name]}; leave out {name}")
        if name in REPLACED and name not in there:
            raise ParameterError(f"{REPLACED[name]}; leave out {name}")
        if name not in there or name == "kwargs":
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(there)}"
            raise ParameterError(f"{type(pipe).__name__} has no keyword {name}; {hint}")
        if family.by_mode and "ip_adapter" in name and value is not None:
            raise ParameterError(
                f"with an IP-Adapter, heads attend to its image too; leave out {name}"
            )
        check_taken(pipe, name, value)
        copies = _copies(call)
        found[name] = _plain(name, value, prompts, images * copies)
        if name in PICTURES and value is not None:
            found[name] = as_pictures(pipe, name, found[name], prompts=prompts, copies=copies)
        if (type(pipe).__name__, name) in NOT_REPEATED and value is not None:
            found[name] = _repeated(found[name], prompts, copies)
    check_image_latents(pipe, found)
    check_adapter_scales(pipe, found)
    check_generation(*(found.get(name) for name in ("guidance_scale", "height", "width")))
    forecast_calls(pipe, found)
    return found


def _repeated(value: Any, prompts: int, copies: int) -> Any:
    """Return one value for each prompt, if there is one for all."""
    if isinstance(value, PerPrompt) or (isinstance(value, list) and len(value) > 1):
        return value
    one = value[0] if isinstance(value, list) else value
    return PerPrompt([one] * prompts, copies)


def _copies(call: Mapping[str, Any]) -> int:
    """Return the number of images of each prompt and seed."""
    copies = call.get("num_images_per_prompt", 1)
    if isinstance(copies, bool) or not isinstance(copies, int | np.integer) or copies < 1:
        raise ParameterError(f"num_images_per_prompt is {copies!r}; give 1 or more")
    return int(copies)


def _plain(name: str, value: Any, prompts: int, images: int) -> Any:
    """Return a value as pipelines take it."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "to_list"):  # a table's column
        value = value.to_list()
    if name in TENSORS and not isinstance(value, torch.Tensor):
        raise ParameterError(f"{name} is of type {type(value).__name__}; give a torch.Tensor")
    if name in NUMBERS:
        return np.asarray(value).tolist()
    if name == "generator":
        value = _generators(value)
    if name in PER_IMAGE and not isinstance(value, torch.Generator):
        check_number(name, value, images, "image")
        return PerImage(value)
    if name in TEXTS or name in EMBEDDINGS:
        several = list(value) if name in TEXTS else value
        if len(several) == 1:
            return several
        check_number(name, several, prompts, "prompt")
        return PerPrompt(several)
    return value


def _generators(value: Any) -> torch.Generator | list[torch.Generator]:
    """Return a random generator, or a list of one for each image, after checking the type."""
    if isinstance(value, torch.Generator):
        return value
    if not isinstance(value, Sequence) or not all(isinstance(v, torch.Generator) for v in value):
        raise ParameterError(
            f"generator is {value!r}; give a torch.Generator or one for each image, or the seed as "
            "seed="
        )
    return list(value)


def for_batch(
    call: Mapping[str, Any], indices: Sequence[int], first: int, count: int
) -> dict[str, Any]:
    """Return a batch's own values of the keywords.

    Parameters
    ----------
    call : mapping of str to object
        From `check_call`.
    indices : sequence of int
        Each image's prompt, by its number among all prompts.
    first, count : int
        Number of the batch's first image among all images, and how many there are.

    Returns
    -------
    dict of str to object
    """
    own = {}
    for name, value in call.items():
        if isinstance(value, PerPrompt | PerControl):
            own[name] = value.take(indices)
        elif isinstance(value, PerImage):
            own[name] = value.values[first : first + count]
        elif name in TEXTS and value is not None:
            text = value if isinstance(value, str) else value[0]
            own[name] = [text] * len(indices)
        elif name in EMBEDDINGS and value is not None:
            own[name] = value.expand(len(indices), *value.shape[1:])
        else:
            own[name] = value
    return own


def describe(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords as a dataset's provenance records them.

    Functions are represented by their names, and random generators by their seeds.
    """
    return {name: _description(value) for name, value in call.items()}


def _description(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return f"generator seeded with {value.initial_seed()}"
    if isinstance(value, list | tuple):
        return [_description(one) for one in value]
    if callable(value) and not isinstance(value, torch.Tensor):
        return getattr(value, "__qualname__", type(value).__name__)
    return value


def default_guidance(pipe: DiffusionPipeline) -> float:
    """Return a pipeline's default guidance scale, as defined by diffusers; 1 if it has none."""
    default = inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default
    return 1.0 if default is None else float(default)
