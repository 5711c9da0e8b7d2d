"""Run pipelines: seeds, batches, taps and edits, progress."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.attention import Rescale, attach
from hrvlab.attention.edits import NO_WORDS
from hrvlab.errors import ParameterError, TokenError, WithheldWarning
from hrvlab.forecast import forecast_calls
from hrvlab.inputs.prompts import as_prompts
from hrvlab.keywords import check_call, for_batch
from hrvlab.models.adapters import adapters_kept
from hrvlab.models.families import family_of
from hrvlab.models.known_words import warn_of_unknown_words
from hrvlab.noise import as_seeds, global_noise, image_generator
from hrvlab.progress import track

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Generator, Tensor

    from hrvlab.attention import Part, Session
    from hrvlab.typing import Images, Prompts

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
    first : int
        Number of its first image among all images of the run.
    """

    prompts: tuple[str, ...]
    indices: tuple[int, ...]
    seeds: tuple[int, ...]
    first: int = 0


@dataclass(frozen=True)
class Generation:
    """What one run of a pipeline made.

    Parameters
    ----------
    images
        As returned by the pipeline for its ``output_type``.
    withheld : ndarray of bool, shape (image,)
        Whether the safety checker returned an image black.
    session : Session or None
        What `attach` saw.
    """

    images: Any
    withheld: NDArray[np.bool_]
    session: Session | None = None


def plan_batches(prompts: Prompts, seeds: Sequence[int], batch_size: int) -> list[Batch]:
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
    texts, numbers = as_prompts(prompts), as_seeds(seeds)
    if batch_size < 1:
        raise ParameterError(f"batch_size is {batch_size}; give 1 or more")
    images = [(p, i, seed) for i, p in enumerate(texts) for seed in numbers]
    batches = []
    for first in range(0, len(images), batch_size):
        own_texts, indices, own_seeds = zip(*images[first : first + batch_size], strict=True)
        batches.append(Batch(own_texts, indices, own_seeds, first))
    return batches


def run_pipeline(pipe: DiffusionPipeline, batch: Batch, **call: Any) -> Generation:
    """Run the pipeline once, silently, from the batch's own noise.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    batch : Batch
    **call
        Keywords of the pipeline's own call, from `hrvlab.keywords.check_call`; ``prompt_embeds``
        replace the prompts.

    Returns
    -------
    Generation
    """
    copies = call.get("num_images_per_prompt", 1)
    count = len(batch.prompts)
    own = for_batch(call, batch.indices, batch.first * copies, count * copies)
    if own.get("generator") is None:
        own["generator"] = _generators(batch, copies, own.get("latents"))
    if own.get("padding_mask_crop") is not None:
        own["output_type"] = "pil"  # diffusers pastes the crop into images of PIL alone
    prompts = None if own.get("prompt_embeds") is not None else list(batch.prompts)
    noise = global_noise(pipe, batch.seeds[0], batch.indices[0])
    with ONE_AT_A_TIME, _silent(pipe), adapters_kept(pipe), noise:
        made = pipe(prompt=prompts, **own)  # in some classes it is not the first argument
    flagged = getattr(made, "nsfw_content_detected", None) or [False] * (count * copies)
    images = made.images
    if own.get("padding_mask_crop") is not None:
        images = np.stack([np.asarray(image) / 255 for image in images])
    generation = Generation(images, np.array(flagged, bool))
    if generation.withheld.any():
        black = np.flatnonzero(generation.withheld) // copies
        named = [f"{batch.prompts[i]!r} (seed {batch.seeds[i]})" for i in dict.fromkeys(black)]
        warnings.warn(
            f"the safety checker returned {len(black)} of {len(flagged)} images black, of "
            f"{', '.join(named)}; they are marked as withheld, and never scored",
            WithheldWarning,
            stacklevel=2,
        )
    return generation


def _generators(batch: Batch, copies: int, latents: Tensor | None) -> list[Generator]:
    """Return the random generator of every image."""
    generators = [
        image_generator(seed, index, copy)
        for index, seed in zip(batch.indices, batch.seeds, strict=True)
        for copy in range(copies)
    ]
    if latents is not None:
        # A scheduler's own noise is then what it would be after seeded latents.
        for generator in generators:
            torch.randn(latents.shape[1:], dtype=latents.dtype, generator=generator)
    return generators


def run_batch(pipe: DiffusionPipeline, batch: Batch, *parts: Part, **call: Any) -> Generation:
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
    Generation
        With its session.
    """
    own = for_batch(call, batch.indices, batch.first, len(batch.prompts))
    given = own.get("prompt_embeds")
    observed = attach(
        pipe,
        *parts,
        prompts=batch.prompts,
        given=given,
        encoding=family_of(pipe).encoding(pipe, call),
    )
    with ONE_AT_A_TIME, observed as session:
        generation = run_pipeline(pipe, batch, **call)
    return replace(generation, session=session)


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
    prompts: Prompts,
    *,
    seed: int | Sequence[int] = 0,
    edit: Rescale | Sequence[Rescale] = (),
    batch_size: int = 8,
    progress: bool = True,
    **call: Any,
) -> Images:
    """Generate images, optionally with edits of the cross-attention.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    prompts : str, Path, or iterable of str
        One prompt, several, or a file of them; see `hrvlab.read_prompts`.
    seed : int or sequence of int
        One image per prompt and seed is generated; its noise derives from the seed and the prompt's
        number alone.
    edit : Rescale or sequence of Rescale
        Of the cross-attention; several act in the order given.
    batch_size : int
        Images that go through the model together.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``, ``guidance_scale``,
        ``height``, ``num_images_per_prompt``. Texts, images and text states may be given once for
        all prompts, or for each; ``latents`` and ``generator``, which replace the seeded noise,
        for each prompt × seed.

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
    texts, seeds = as_prompts(prompts), as_seeds(seed)
    batches = plan_batches(texts, seeds, batch_size)
    own = check_call(pipe, call, prompts=len(texts), images=len(texts) * len(seeds))
    edits = [edit] if isinstance(edit, Rescale) else list(edit)
    check_edits(pipe, edits, texts, call)
    warn_of_unknown_words(pipe, texts)
    images = []
    for batch in track(batches, "generate", disable=not progress or len(batches) == 1):
        parts = [one.for_prompts(batch.indices) for one in edits]
        images.append(as_uint8(run_batch(pipe, batch, *parts, output_type="np", **own).images))
    return np.concatenate(images)


def check_edits(
    pipe: DiffusionPipeline, edits: Sequence[Rescale], texts: Sequence[str], call: Mapping[str, Any]
) -> None:
    """Check that edits fit prompts and keywords, before anything is generated.

    Raises
    ------
    ParameterError, TokenError
    """
    if edits and call.get("prompt_embeds") is not None:
        raise TokenError(NO_WORDS)
    for edit in edits:
        if edit.factors.ndim == 2 and len(edit.factors) != len(texts):
            raise ParameterError(
                f"an edit has factors for {len(edit.factors)} prompts, there are {len(texts)}"
            )
        with ONE_AT_A_TIME:  # a tokenizer of several threads may be busy
            edit.columns(pipe, texts, **family_of(pipe).encoding(pipe, call))
        calls = forecast_calls(pipe, call)
        if edit.window[0] >= calls:
            raise ParameterError(
                f"an edit begins at denoiser call {edit.window[0]}, and there are only {calls}; "
                "give an earlier window, or more steps"
            )
