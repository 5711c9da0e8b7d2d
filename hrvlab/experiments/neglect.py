"""Make a picture look at all of its words: Attend-and-Excite, plain and with HRVs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from hrvlab.attention.gradients import frozen
from hrvlab.attention.hooks import readable
from hrvlab.errors import ModelError, ParameterError
from hrvlab.experiments.excitation import PRESETS, Excitation, Mover, looked_at
from hrvlab.experiments.steering import concept_row
from hrvlab.generation import ONE_AT_A_TIME, as_uint8, plan_batches, refuse, run_pipeline
from hrvlab.models.families import family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.vectors import check_model
from hrvlab.typing import Images


@dataclass(frozen=True)
class Excited:
    """What `excite` drew.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, y, x, channel)
        Seed by seed.
    passes : ndarray of int64, shape (image,)
        How often the UNet ran with gradients for each, besides the pipeline's own calls.
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
    num_inference_steps: int = 50,
    latents: Tensor | None = None,
    allow_other_model: bool = False,
    progress: bool = True,
    **call: Any,
) -> Excited:
    """Draw a prompt, and move the latents until the picture looks at each of some words.

    Before a UNet call, the prompt alone passes the UNet with gradients. A word's attention is the
    highest place of its map; the latents go down the gradient of what the least looked-at word
    lacks to 1. A word of several tokens has the sum of their attention.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family, drawing from noise.
    prompt : str
    words : str or sequence of str
        The words of the prompt that should not be neglected.
    hrv : xarray.DataArray, dims (concept, head_position), optional
        Each word's maps are averaged over heads with the weights of a concept's vector; None: all
        heads alike.
    concept : str or sequence of str, optional
        Which vector, for all words or for each; needed with ``hrv``.
    preset : str or Excitation, optional
        Published settings: ``"attend-and-excite"``, the default without vectors;
        ``"published-hrv"``, the default with vectors; ``"published-baseline"``, what the latter
        was compared with; or settings of one's own.
    seed : int or sequence of int
        The prompt is drawn once a seed.
    batch_size : int
        Images that go through the model together; gradients need many times the memory of plain
        generation.
    num_inference_steps : int
    latents : Tensor, shape (seed, channel, height, width), optional
        Replaces the seeded initial noise.
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
    """
    seeds = [seed] if isinstance(seed, int) else list(seed)
    named = [words] if isinstance(words, str) else list(words)
    excitation = find_excitation(preset, with_vectors=hrv is not None)
    check_call(pipe, call)
    if latents is not None and len(latents) != len(seeds):
        raise ParameterError(f"latents hold {len(latents)} images, there are {len(seeds)} seeds")
    columns = mark_words(pipe, prompt, named)
    factors = weigh_heads(pipe, len(named), hrv, concept, allow_other_model=allow_other_model)
    check_maps(pipe, excitation)
    own = {**call, "num_inference_steps": num_inference_steps}
    images, passes = [], []
    start = 0
    batches = plan_batches([prompt], seeds, batch_size)
    for batch in tqdm(batches, "excite", disable=not progress or len(batches) == 1):
        if latents is not None:
            own["latents"] = latents[start:][: len(batch.seeds)]
        # Compiled code would not call the hooks.
        eager = torch.compiler.set_stance("force_eager")
        with ONE_AT_A_TIME, eager, frozen(pipe.unet):
            mover = Mover(pipe, batch, excitation, columns, factors, own)
            moved = {**own, "latents": mover.first_latents()}
            made = run_pipeline(
                pipe, batch, output_type="np", callback_on_step_end=mover.after_step, **moved
            )
        images.append(as_uint8(made))
        passes.append(mover.passes)
        start += len(batch.seeds)
    return Excited(np.concatenate(images), np.concatenate(passes))


def find_excitation(preset: str | Excitation | None, *, with_vectors: bool) -> Excitation:
    """Find settings by their name.

    Raises
    ------
    ParameterError
        If there are none of that name.
    """
    if isinstance(preset, Excitation):
        return preset
    name = preset or ("published-hrv" if with_vectors else "attend-and-excite")
    if name not in PRESETS:
        raise ParameterError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


def check_call(pipe: DiffusionPipeline, call: dict[str, Any]) -> None:
    """Refuse pipelines and keywords that latents cannot be moved with.

    Raises
    ------
    ModelError
        If the pipeline is not supported, begins with a picture, or its heads cannot be read.
    ParameterError
        If a keyword is one that `excite` sets itself.
    """
    family_of(pipe)
    if "image" in inspect.signature(pipe.__call__).parameters:
        raise ModelError(
            f"{type(pipe).__name__} begins with a picture; give a pipeline that begins with noise"
        )
    own = {"num_images_per_prompt", "output_type", "callback_on_step_end"}
    refuse(call, own, "excite draws one picture a seed in its own way")
    for layer in cross_attention_layers(pipe.unet):
        readable(pipe.unet, layer)


def check_maps(pipe: DiffusionPipeline, excitation: Excitation) -> None:
    """Refuse maps that no layer has, and single places that should be smoothed.

    Raises
    ------
    ParameterError
    """
    looked_at(pipe, excitation)
    if excitation.smooth and round(pipe.unet.config.sample_size * excitation.side) < 2:
        raise ParameterError(
            f"{excitation.side:g} of the latents' side is one place, which cannot be smoothed; "
            "give a larger side, or smooth=False"
        )


def mark_words(pipe: DiffusionPipeline, prompt: str, words: Sequence[str]) -> Tensor:
    """Mark the token columns of each word.

    Returns
    -------
    Tensor of bool, shape (word, token)

    Raises
    ------
    ParameterError
        If there is no word.
    TokenError
        If the prompt does not hold a word.
    """
    if not words:
        raise ParameterError("the list of words is empty; give at least one word of the prompt")
    marks = torch.zeros(len(words), pipe.tokenizer.model_max_length, dtype=torch.bool)
    for row, word in zip(marks, words, strict=True):
        row[word_columns(pipe.tokenizer, prompt, word)] = True
    return marks


def weigh_heads(
    pipe: DiffusionPipeline,
    words: int,
    hrv: xr.DataArray | None,
    concept: str | Sequence[str] | None,
    *,
    allow_other_model: bool = False,
) -> Tensor:
    """Give each head's weight for each of so many words; all 1 without vectors.

    Returns
    -------
    Tensor of float64, shape (word, head_position)

    Raises
    ------
    ParameterError
        If there are vectors but no concepts, or the reverse, or not a concept for every word.
    ConceptError, ModelError
        If there is no such concept, or the vectors are another model's.
    """
    if (hrv is None) != (concept is None):
        raise ParameterError("give both hrv and concept, or neither")
    if hrv is None or concept is None:
        positions = sum(layer.heads for layer in cross_attention_layers(pipe.unet))
        return torch.ones(words, positions, dtype=torch.float64)
    check_model(hrv, pipe, allow_other_model=allow_other_model)
    concepts = [concept] * words if isinstance(concept, str) else list(concept)
    if len(concepts) != words:
        raise ParameterError(f"{words} words need one concept or one for each, got {len(concepts)}")
    rows = [concept_row(hrv, name).values for name in concepts]
    return torch.from_numpy(np.stack(rows).astype(np.float64))
