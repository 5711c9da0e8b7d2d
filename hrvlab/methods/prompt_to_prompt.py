"""Prompt-to-Prompt, plain and with HRVs: edits of an image by words of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from hrvlab.attention import Injection
from hrvlab.errors import ParameterError
from hrvlab.generation import Batch, as_uint8, count_calls, plan_batches, run_batch
from hrvlab.methods.steering import strengthening_factors
from hrvlab.models.alignment import align
from hrvlab.relevance.vectors import concept_vector

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from hrvlab.models.alignment import Method
    from hrvlab.typing import Images

# Shares of the calls in which attention is injected, as published.
CROSS_SHARE = 0.8
SELF_SHARE, SELF_SHARE_WITH_VECTORS = 0.4, 0.9


def edit(
    pipe: DiffusionPipeline,
    source: str | Sequence[str],
    target: str | Sequence[str],
    *,
    hrv: xr.DataArray | None = None,
    concept: str | None = None,
    strength: float = 1.0,
    cross_share: float = CROSS_SHARE,
    self_share: float | None = None,
    alignment: Method = "words",
    seed: int | Sequence[int] = 0,
    batch_size: int = 8,
    num_inference_steps: int = 50,
    latents: torch.Tensor | None = None,
    allow_other_model: bool = False,
    progress: bool = True,
    **call: Any,
) -> Images:
    """Generate images of a prompt, and the same images with some of its words replaced.

    The attention of the source image is injected into the edited one.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    source, target : str or sequence of str
        Pairs of prompts with the same number of words; words that differ are replaced.
    hrv : xarray.DataArray, dims (concept, head_position), optional
        The new words keep their own attention, rescaled by a concept's vector; default: plain
        Prompt-to-Prompt, which injects the source's attention there too.
    concept : str, optional
        The vector; required with ``hrv``.
    strength : float
        Of the rescaling: 0 leaves the new words' own attention as it is, 1 is as published.
    cross_share, self_share : float
        Shares of the denoiser calls, from the first, in which the source's cross- and
        self-attention are injected into the target. ``self_share`` is by default as published: 0.4
        without vectors, and 0.9 with vectors.
    alignment : {"words", "published"}
        How to align words with different numbers of tokens: see `hrvlab.models.alignment.align`.
    seed : int or sequence of int
        One pair of images is generated for each.
    batch_size : int
        Images that go through the model together, two for each pair.
    num_inference_steps : int
    latents : Tensor, shape (pair × seed, channel, height, width), optional
        Replaces the seeded initial noise, which both images of a pair share.
    allow_other_model : bool
        Use vectors that were built from another model.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    ndarray of uint8, shape (pair × seed × 2, y, x, channel)
        Source image, edited image, source image, …: pair by pair, seed by seed.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
        Before anything is generated.

    Notes
    -----
    Prompt-to-Prompt: arXiv 2208.01626. With vectors: Section 6 of arXiv 2412.02237.

    Examples
    --------
    >>> source, edited = hl.edit(
    ...     pipe,
    ...     "a red car",
    ...     "a blue car",
    ...     hrv=hrv,
    ...     concept="Color",
    ...     num_inference_steps=2,
    ...     progress=False,
    ... )
    >>> source.shape == edited.shape
    True
    """
    sources, targets = ([p] if isinstance(p, str) else list(p) for p in (source, target))
    seeds = [seed] if isinstance(seed, int) else list(seed)
    if len(sources) != len(targets):
        raise ParameterError(f"{len(sources)} sources need as many targets, got {len(targets)}")
    if latents is not None and len(latents) != len(sources) * len(seeds):
        raise ParameterError(
            f"latents hold {len(latents)} pairs, prompts × seeds make {len(sources) * len(seeds)}"
        )
    if (hrv is None) != (concept is None):
        raise ParameterError("give both hrv and concept, or neither")
    if self_share is None:
        self_share = SELF_SHARE if hrv is None else SELF_SHARE_WITH_VECTORS
    for name, share in (("cross_share", cross_share), ("self_share", self_share)):
        if not 0 <= share <= 1:
            raise ParameterError(f"{name} is {share}; give a share of the calls, from 0 to 1")
    factors, model = None, None
    if hrv is not None and concept is not None:
        row = concept_vector(hrv, concept)
        factors = strengthening_factors(row.values, strength)
        model = None if allow_other_model else hrv.attrs.get("model_fingerprint")
    aligned = [
        align(pipe.tokenizer, *pair, alignment) for pair in zip(sources, targets, strict=True)
    ]
    calls = count_calls(pipe, num_inference_steps)
    injected = int(cross_share * calls), int(self_share * num_inference_steps)
    if not any(injected):
        raise ParameterError(
            f"cross_share={cross_share} and self_share={self_share} of {calls} calls are less than "
            "one call; give more steps or larger shares"
        )
    images = []
    start = 0
    batches = plan_batches(sources, seeds, max(batch_size // 2, 1))
    for batch in tqdm(batches, "edit", disable=not progress or len(batches) == 1):
        mappers, replaced = zip(*(aligned[index] for index in batch.indices), strict=True)
        injection = Injection(
            mappers,
            replaced,
            factors,
            cross_calls=injected[0],
            self_calls=injected[1],
            model=model,
        )
        pairs = Batch(
            tuple(prompt for i in batch.indices for prompt in (sources[i], targets[i])),
            tuple(np.repeat(batch.indices, 2).tolist()),
            tuple(np.repeat(batch.seeds, 2).tolist()),
        )
        own = {**call, "num_inference_steps": num_inference_steps}
        if latents is not None:
            own["latents"] = latents[start:][: len(batch.seeds)].repeat_interleave(2, dim=0)
        made, _ = run_batch(pipe, pairs, injection, output_type="np", **own)
        images.append(as_uint8(made))
        start += len(batch.seeds)
    return np.concatenate(images)
