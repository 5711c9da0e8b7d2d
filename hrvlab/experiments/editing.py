"""Edit a picture by replacing words of its prompt: Prompt-to-Prompt, plain and with HRVs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from hrvlab.attention import Borrow
from hrvlab.errors import ParameterError
from hrvlab.experiments.steering import concept_row, strengthening_factors
from hrvlab.generation import Batch, as_uint8, count_calls, plan_batches, run_batch
from hrvlab.models.alignment import Method, align
from hrvlab.typing import Images

# Shares of the calls in which attention is borrowed, as published.
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
    """Draw a prompt, and the same picture with some of its words replaced.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    source, target : str or sequence of str
        Prompts of as many words; the target's differ from the source's where it is edited.
    hrv : xarray.DataArray, dims (concept, head_position), optional
        The new words' attention is rescaled by a concept's vector; None: plain Prompt-to-Prompt.
    concept : str, optional
        Which vector; needed with ``hrv``.
    strength : float
        Of the rescaling: 0 leaves the new words' own attention as it is, 1 is as published.
    cross_share, self_share : float
        Shares of the UNet's calls, from the first, in which the target borrows the source's cross-
        and self-attention. Default of the latter: as published, 0.4, and 0.9 with vectors.
    alignment : {"words", "published"}
        Of words of different numbers of tokens; see `hrvlab.models.alignment.align`.
    seed : int or sequence of int
        Each pair is drawn once a seed.
    batch_size : int
        Images that go through the model together, two for each pair.
    num_inference_steps : int
    latents : Tensor, shape (pair × seed, channel, height, width), optional
        Replaces the seeded initial noise, which both pictures of a pair have in common.
    allow_other_model : bool
        Use vectors that were built from another model.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    ndarray of uint8, shape (pair × seed × 2, y, x, channel)
        Source picture, edited picture, source picture, …: pair by pair, seed by seed.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
        Before anything is generated.

    Notes
    -----
    Prompt-to-Prompt: arXiv 2208.01626. With vectors: Section 6 of arXiv 2412.02237.
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
        row = concept_row(hrv, concept)
        factors = strengthening_factors(row.values, strength)
        model = None if allow_other_model else hrv.attrs.get("model_fingerprint")
    aligned = [
        align(pipe.tokenizer, *pair, alignment) for pair in zip(sources, targets, strict=True)
    ]
    calls = count_calls(pipe, num_inference_steps)
    borrowed = int(cross_share * calls), int(self_share * num_inference_steps)
    if not any(borrowed):
        raise ParameterError(
            f"cross_share={cross_share} and self_share={self_share} of {calls} calls are not one "
            "call; take more steps or larger shares"
        )
    images = []
    start = 0
    batches = plan_batches(sources, seeds, max(batch_size // 2, 1))
    for batch in tqdm(batches, "edit", disable=not progress or len(batches) == 1):
        mappers, replaced = zip(*(aligned[index] for index in batch.indices), strict=True)
        borrow = Borrow(
            mappers,
            replaced,
            factors,
            cross_calls=borrowed[0],
            self_calls=borrowed[1],
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
        made, _ = run_batch(pipe, pairs, borrow, output_type="np", **own)
        images.append(as_uint8(made))
        start += len(batch.seeds)
    return np.concatenate(images)
