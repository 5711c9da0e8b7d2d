"""Run pipelines: seeds, batches, taps and edits, progress."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hrvlab.attention import Rescale, attach
from hrvlab.errors import ParameterError
from hrvlab.inputs.prompts import check_prompts

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.attention import Attachment, Part
    from hrvlab.typing import Images

# Hooks of one generation would act on another that runs at the same time on the same model.
ONE_AT_A_TIME = RLock()


@dataclass(frozen=True)
class Batch:
    """A batch of images that go through the model together.

    Parameters
    ----------
    prompts : tuple of str
    indices : tuple of int
        Each prompt's number among all prompts.
    seeds : tuple of int
    """

    prompts: tuple[str, ...]
    indices: tuple[int, ...]
    seeds: tuple[int, ...]


def plan_batches(prompts: Sequence[str], seeds: Sequence[int], batch_size: int) -> list[Batch]:
    """Split prompts × seeds into batches, prompt by prompt.

    Parameters
    ----------
    prompts : sequence of str
    seeds : sequence of int
    batch_size : int

    Returns
    -------
    list of Batch

    Raises
    ------
    ParameterError
        If there is no prompt, a prompt is empty, there is no seed or a negative one, or the batch
        size is not positive.
    """
    check_prompts(prompts)
    if not seeds:
        raise ParameterError("the list of seeds is empty; give at least one seed")
    if any(seed < 0 for seed in seeds):
        raise ParameterError(f"the seed {min(seeds)} is negative; give 0 or more")
    if batch_size < 1:
        raise ParameterError(f"batch_size is {batch_size}; give 1 or more")
    images = [(p, i, seed) for i, p in enumerate(prompts) for seed in seeds]
    chunks = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    return [Batch(*zip(*chunk, strict=True)) for chunk in chunks]


def image_generator(seed: int, prompt_index: int, image: int = 0) -> torch.Generator:
    """Return the random generator of one image's noise, the same in any batch and on any device.

    Prompts are numbered, and so are the images of one prompt and seed.
    """
    sequence = np.random.SeedSequence([seed, prompt_index, image])
    state = int(sequence.generate_state(1, np.uint64)[0])
    return torch.Generator("cpu").manual_seed(state >> 1)


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


def default_guidance(pipe: DiffusionPipeline) -> float:
    """Return a pipeline's default guidance scale, as defined by diffusers."""
    return float(inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default)


def count_calls(pipe: DiffusionPipeline, steps: int) -> int:
    """Count the denoiser calls of a number of steps; some schedulers add a call."""
    scheduler = copy.deepcopy(pipe.scheduler)
    scheduler.set_timesteps(steps)
    return len(scheduler.timesteps)


def initial_noise(pipe: DiffusionPipeline, seeds: Sequence[int], prompt_index: int) -> torch.Tensor:
    """Draw the initial noise of a prompt's images, at the model's own size.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    seeds : sequence of int
    prompt_index : int
        The prompt's number among all prompts.

    Returns
    -------
    Tensor, shape (seed, channel, height, width)
        For ``latents=``; equal to the noise that the pipeline draws for these seeds.
    """
    side = pipe.unet.config.sample_size
    shape = (1, pipe.vae.config.latent_channels, side, side)
    generators = [image_generator(seed, prompt_index) for seed in seeds]
    # Other numbers are drawn in half precision, here and by a pipeline of that type.
    dtype = pipe.unet.dtype
    return torch.cat([torch.randn(shape, generator=one, dtype=dtype) for one in generators])


def run_pipeline(pipe: DiffusionPipeline, batch: Batch, **call: Any) -> Any:
    """Run the pipeline once, silently, from the batch's own noise.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    batch : Batch
    **call
        Keywords of the pipeline's own call; ``prompt_embeds`` replace the prompts.

    Returns
    -------
    images
        As returned by the pipeline for its ``output_type``.

    Raises
    ------
    ParameterError
        If the second text encoder is given another prompt.
    """
    if "prompt_2" in call:
        raise ParameterError("both text encoders take the same prompt; leave out prompt_2")
    copies = call.get("num_images_per_prompt", 1)
    generators = [
        image_generator(seed, index, copy)
        for index, seed in zip(batch.indices, batch.seeds, strict=True)
        for copy in range(copies)
    ]
    if call.get("latents") is not None:
        # A scheduler's own noise is then what it would be after seeded latents.
        for generator in generators:
            torch.randn(call["latents"].shape[1:], dtype=call["latents"].dtype, generator=generator)
    prompts = None if "prompt_embeds" in call else list(batch.prompts)
    with ONE_AT_A_TIME, _silent(pipe):
        return pipe(prompts, generator=generators, **call).images


def run_batch(
    pipe: DiffusionPipeline, batch: Batch, *parts: Part, **call: Any
) -> tuple[Any, Attachment]:
    """Run the pipeline once with taps and edits attached.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    batch : Batch
    *parts : Tap, Rescale or Injection
    **call
        See `run_pipeline`.

    Returns
    -------
    images
        As returned by the pipeline for its ``output_type``.
    attachment : Attachment
        With the scheduler timestep of every denoiser call.
    """
    with ONE_AT_A_TIME, attach(pipe, *parts, prompts=list(batch.prompts)) as attachment:
        images = run_pipeline(pipe, batch, **call)
    return images, attachment


@contextmanager
def _silent(pipe: DiffusionPipeline) -> Iterator[None]:
    """Hide the pipeline's own progress bar within a block, and restore its settings."""
    before = dict(pipe.__dict__)
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        if "_progress_bar_config" in before:
            pipe._progress_bar_config = before["_progress_bar_config"]
        else:
            del pipe._progress_bar_config


def as_uint8(images: NDArray[np.floating[Any]]) -> Images:
    """Convert images in [0, 1] to uint8."""
    return np.round(np.asarray(images) * 255).astype(np.uint8)


def generate(
    pipe: DiffusionPipeline,
    prompts: str | Sequence[str],
    *,
    seed: int | Sequence[int] = 0,
    edit: Rescale | Sequence[Rescale] = (),
    batch_size: int = 8,
    latents: torch.Tensor | None = None,
    progress: bool = True,
    **call: Any,
) -> Images:
    """Generate images, optionally with edits of the cross-attention.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    prompts : str or sequence of str
    seed : int or sequence of int
        One image per prompt and seed is generated; its noise derives from the seed and the prompt's
        number alone.
    edit : Rescale or sequence of Rescale
        Of the cross-attention; several act in the order given.
    batch_size : int
        Images that go through the model together.
    latents : Tensor, shape (prompt × seed, channel, height, width), optional
        Replaces the seeded initial noise.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``, ``guidance_scale``,
        ``height``, ``num_images_per_prompt``.

    Returns
    -------
    ndarray of uint8, shape (image, y, x, channel)
        Prompt by prompt, seed by seed.

    Raises
    ------
    ParameterError, TokenError, ModelError
        Before anything is generated.

    Examples
    --------
    >>> images = hl.generate(pipe, "a red car", num_inference_steps=2, progress=False)
    >>> images.shape, images.dtype
    ((1, 64, 64, 3), dtype('uint8'))
    """
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    seeds = [seed] if isinstance(seed, int) else list(seed)
    batches = plan_batches(texts, seeds, batch_size)
    if latents is not None and len(latents) != len(texts) * len(seeds):
        raise ParameterError(
            f"latents hold {len(latents)} images, prompts × seeds make {len(texts) * len(seeds)}"
        )
    edits = [edit] if isinstance(edit, Rescale) else list(edit)
    for one in edits:
        if one.factors.ndim == 2 and len(one.factors) != len(texts):
            raise ParameterError(
                f"an edit has factors for {len(one.factors)} prompts, there are {len(texts)}"
            )
        one.columns(pipe.tokenizer, texts)
    images = []
    start = 0
    for batch in tqdm(batches, "generate", disable=not progress or len(batches) == 1):
        parts = [one.for_prompts(batch.indices) for one in edits]
        own = call if latents is None else {**call, "latents": latents[start:][: len(batch.seeds)]}
        made, _ = run_batch(pipe, batch, *parts, output_type="np", **own)
        images.append(as_uint8(made))
        start += len(batch.seeds)
    return np.concatenate(images)
