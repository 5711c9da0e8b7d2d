"""Attend-and-Excite, plain and with HRVs: updates of the latents against neglected words."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from hrvlab.attention.gradients import frozen
from hrvlab.attention.hooks import attention_module
from hrvlab.attention.session import attached_to
from hrvlab.errors import ModelError, ParameterError
from hrvlab.generation import ONE_AT_A_TIME, as_uint8, plan_batches, run_pipeline
from hrvlab.keywords import check_call, for_batch, refuse
from hrvlab.methods.excitation import MASK, attended_layers, find_excitation, full_strength
from hrvlab.methods.latent_updates import LatentUpdater
from hrvlab.models.families import denoiser_of, family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.known_words import warn_of_unknown_words
from hrvlab.models.layers import default_size
from hrvlab.models.tokens import word_columns
from hrvlab.noise import as_seeds
from hrvlab.progress import track
from hrvlab.relevance.model import check_model
from hrvlab.relevance.vectors import concept_vector

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.methods.excitation import Excitation
    from hrvlab.typing import Images


OWN = {"num_images_per_prompt", "prompt_embeds", "generator", "callback_on_step_end"}


@dataclass(frozen=True)
class Excited:
    """The images that `excite` generated, and what they cost.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, y, x, channel)
        One for each seed.
    passes : ndarray of int64, shape (image,)
        How often the UNet ran with gradients for each image, besides the pipeline's own calls.
    """

    images: Images
    passes: NDArray[np.int64]


def excite(
    pipe: DiffusionPipeline,
    prompt: str,
    words: str | Sequence[str],
    *,
    hrv: xr.DataArray | None = None,
    concept: str | Sequence[str] | None = None,
    preset: str | Excitation | None = None,
    seed: int | Sequence[int] = 0,
    batch_size: int = 1,
    allow_other_model: bool = False,
    progress: bool = True,
    **call: Any,
) -> Excited:
    """Generate images of a prompt, and update their latents so that no word is neglected.

    Before a denoiser call, the prompt alone passes through the UNet with gradients. A word's
    attention is the maximum of its map; a word of several tokens has the sum of their maps. The
    latents are updated by gradient descent on 1 − the lowest attention of any word.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family, and starting from noise; also one for inpainting, whose keywords
        ``image`` and ``mask_image`` are required.
    prompt : str
    words : str or sequence of str
        The words of the prompt that should not be neglected.
    hrv : xarray.DataArray, dims (concept, head_position), optional
        Each word's map is averaged over heads with a concept's vector as weights; default: with
        equal weights.
    concept : str or sequence of str, optional
        The vector of all words, or of each; required with ``hrv``.
    preset : str or Excitation, optional
        Published settings, or settings of one's own: ``"attend-and-excite"``, the default without
        vectors; ``"published-hrv"``, the default with vectors; ``"published-baseline"``, those
        that the latter was compared with.
    seed : int or sequence of int
        One image is generated for each.
    batch_size : int
        Images that go through the model together; gradients need many times the memory of plain
        generation.
    allow_other_model : bool
        Use vectors that were built from another model.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Excited

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
        Before anything is generated.
    CoverageError
        If attention or its gradient is not finite.

    Notes
    -----
    Attend-and-Excite: arXiv 2301.13826. With vectors: Section 7 of arXiv 2412.02237.

    Examples
    --------
    >>> excited = hl.excite(
    ...     pipe, "a cat and a dog", ["cat", "dog"], num_inference_steps=2, progress=False
    ... )
    >>> excited.images.shape
    (1, 64, 64, 3)
    """
    seeds = as_seeds(seed)
    named = [words] if isinstance(words, str) else list(words)
    excitation = find_excitation(preset, with_vectors=hrv is not None)
    check_pipeline(pipe)
    refuse(call, OWN, "excite sets these keywords itself")
    keywords = {**check_call(pipe, call, prompts=1, images=len(seeds)), **full_strength(pipe, call)}
    warn_of_unknown_words(pipe, [prompt])
    columns = mark_words(pipe, prompt, named)
    factors = weigh_heads(pipe, len(named), hrv, concept, allow_other_model=allow_other_model)
    check_maps(pipe, excitation)
    images, passes = [], []
    batches = plan_batches([prompt], seeds, batch_size)
    for batch in track(batches, "excite", disable=not progress or len(batches) == 1):
        own = for_batch(keywords, batch.indices, batch.first, len(batch.seeds))
        # Compiled code would not call the hooks.
        eager = torch.compiler.set_stance("force_eager")
        # Inference mode would allow no gradients.
        graded = torch.inference_mode(mode=False)
        with ONE_AT_A_TIME, eager, graded, frozen(denoiser_of(pipe)):
            updater = LatentUpdater(pipe, batch, excitation, columns, factors, own)
            updated = {**own, "latents": updater.first_latents()}
            generated = run_pipeline(
                pipe, batch, output_type="np", callback_on_step_end=updater.after_step, **updated
            )
        images.append(as_uint8(generated.images))
        passes.append(updater.passes)
    return Excited(np.concatenate(images), np.concatenate(passes))


def check_pipeline(pipe: DiffusionPipeline) -> None:
    """Check that the latents of a pipeline can be updated.

    Raises
    ------
    ModelError
        If the pipeline is not supported, starts from an image or is steered by one, or its heads
        cannot be read.
    ParameterError
        If taps or edits are attached to it.
    """
    family = family_of(pipe)
    family.check_method("attention excitation")
    if attached_to(family.denoiser(pipe)):
        raise ParameterError(
            "excite runs the denoiser more often than a generation does, which attach would "
            "misread; call it outside the block"
        )
    if hasattr(pipe, "pag_applied_layers"):
        raise ModelError(
            f"{type(pipe).__name__} perturbs attention between the updates too; give a pipeline "
            "without perturbed-attention guidance"
        )
    takes = inspect.signature(pipe.__call__).parameters
    if "control_image" in takes or ("image" in takes and MASK not in takes):
        raise ModelError(
            f"{type(pipe).__name__} starts from an image, or is steered by one; give a pipeline "
            "that starts from noise, or one for inpainting"
        )
    for layer in cross_attention_layers(denoiser_of(pipe)):
        attention_module(denoiser_of(pipe), layer)


def check_maps(pipe: DiffusionPipeline, excitation: Excitation) -> None:
    """Raise an error if no layer has the maps of an excitation, or they are too small to smooth.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    excitation : Excitation

    Raises
    ------
    ParameterError
    """
    attended_layers(pipe, excitation)
    if excitation.smooth and round(min(default_size(denoiser_of(pipe))) * excitation.side) < 2:
        raise ParameterError(
            f"maps with {excitation.side:g} of the latents' side have one position and cannot be "
            "smoothed; give a larger side, or smooth=False"
        )


def mark_words(pipe: DiffusionPipeline, prompt: str, words: Sequence[str]) -> Tensor:
    """Mark the token columns of each word.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    words : sequence of str

    Returns
    -------
    Tensor of bool, shape (word, token)

    Raises
    ------
    ParameterError
        If there is no word.
    TokenError
        If a word does not occur in the prompt.
    """
    if not words:
        raise ParameterError("the list of words is empty; give at least one word of the prompt")
    marks = torch.zeros(len(words), pipe.tokenizer.model_max_length, dtype=torch.bool)
    for row, word in zip(marks, words, strict=True):
        row[word_columns(pipe, prompt, word)] = True
    return marks


def weigh_heads(
    pipe: DiffusionPipeline,
    words: int,
    hrv: xr.DataArray | None,
    concept: str | Sequence[str] | None,
    *,
    allow_other_model: bool = False,
) -> Tensor:
    """Compute the weight of every head's maps for each word.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    words : int
        Number of words.
    hrv : xarray.DataArray, dims (concept, head_position), optional
    concept : str or sequence of str, optional
        The vector of all words, or of each; required with ``hrv``.
    allow_other_model : bool
        Use vectors that were built from another model.

    Returns
    -------
    Tensor of float64, shape (word, head_position)
        The vectors' relevance; 1 without vectors.

    Raises
    ------
    ParameterError
        If there are vectors without concepts or concepts without vectors, or if there is neither
        one concept nor one for each word.
    ConceptError
        If the vectors have no such concept.
    ModelError
        If the vectors were built from another model, and this is not allowed.
    """
    if (hrv is None) != (concept is None):
        raise ParameterError("give both hrv and concept, or neither")
    if hrv is None or concept is None:
        positions = sum(layer.heads for layer in cross_attention_layers(denoiser_of(pipe)))
        return torch.ones(words, positions, dtype=torch.float64)
    check_model(hrv, pipe, allow_other_model=allow_other_model)
    concepts = [concept] * words if isinstance(concept, str) else list(concept)
    if len(concepts) != words:
        raise ParameterError(f"{words} words need one concept or one for each, got {len(concepts)}")
    rows = [concept_vector(hrv, name).values for name in concepts]
    return torch.from_numpy(np.stack(rows).astype(np.float64))
