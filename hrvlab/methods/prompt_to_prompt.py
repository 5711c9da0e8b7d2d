"""Prompt-to-Prompt, plain and with HRVs: edits of an image by words of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from torch import Generator

from hrvlab.attention import Injection, Unedited
from hrvlab.errors import ParameterError
from hrvlab.forecast import forecast_calls
from hrvlab.generation import Batch, as_uint8, plan_batches, run_batch
from hrvlab.inputs.prompts import as_prompts
from hrvlab.keywords import PerImage, check_call, refuse
from hrvlab.methods.local_blend import THRESHOLD, LocalBlend, blended_columns
from hrvlab.methods.steering import strengthening_factors
from hrvlab.models.alignment import align
from hrvlab.models.known_words import warn_of_unknown_words
from hrvlab.noise import as_seeds
from hrvlab.progress import track
from hrvlab.relevance.vectors import concept_vector

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.attention import Part
    from hrvlab.methods.local_blend import Blend
    from hrvlab.models.alignment import Method
    from hrvlab.typing import Images, Prompts

# Shares of the calls in which attention is injected, as published.
CROSS_SHARE = 0.8
SELF_SHARE, SELF_SHARE_WITH_VECTORS = 0.4, 0.9
CALLBACK = {"callback_on_step_end", "callback_on_step_end_tensor_inputs"}


def edit(
    pipe: DiffusionPipeline,
    source: Prompts,
    target: Prompts,
    *,
    hrv: xr.DataArray | None = None,
    concept: str | None = None,
    hrv_strength: float = 1.0,
    cross_share: float = CROSS_SHARE,
    self_share: float | None = None,
    alignment: Method = "words",
    blend: Blend | Sequence[Blend] | None = None,
    blend_threshold: float = THRESHOLD,
    seed: int | Sequence[int] = 0,
    batch_size: int = 8,
    allow_other_model: bool = False,
    progress: bool = True,
    **call: Any,
) -> Images:
    """Generate images of a prompt, and the same images with some of its words changed.

    The attention of the source image is injected into the edited one.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    source, target : str or sequence of str
        Pairs of prompts. Words may be replaced, added and dropped, several in one prompt: see
        `hrvlab.models.alignment.align`.
    hrv : xarray.DataArray, dims (concept, head_position), optional
        The new words keep their own attention, rescaled by a concept's vector; default: plain
        Prompt-to-Prompt, which injects the source's attention there too.
    concept : str, optional
        The vector; required with ``hrv``.
    hrv_strength : float
        Of the rescaling: 0 leaves the new words' own attention as it is, 1 is as published.
    cross_share, self_share : float
        Shares of the denoiser calls, from the first, in which the source's cross- and
        self-attention are injected into the target. ``self_share`` is by default as published: 0.4
        without vectors, and 0.9 with vectors.
    alignment : {"words", "published"}
        How to align words with different numbers of tokens: see `hrvlab.models.alignment.align`.
    blend : tuple of words, or sequence of those, optional
        A word or several of the source, and of the target, such as ``("cat", "dog")``; or a list
        with such a tuple for each pair. After every step, the latents of the edited image become
        the source's wherever neither image attends to its words. Default: no blending.
    blend_threshold : float
        Share of a word's highest attention above which a position belongs to it.
    seed : int or sequence of int
        One pair of images is generated for each.
    batch_size : int
        Images that go through the model together, two for each pair.
    allow_other_model : bool
        Use vectors that were built from another model.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call. Texts and images may be given once for all pairs, or
        for each; ``latents`` and ``generator``, which replace the seeded noise that both images of
        a pair share, for each pair × seed.

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
    Prompt-to-Prompt, with its local blending: arXiv 2208.01626. With vectors: Section 6 of arXiv
    2412.02237.

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

    A word is added, and the background stays the source's:

    >>> blend = ("car", ["snowy", "car"])
    >>> source, edited = hl.edit(
    ...     pipe, "a red car", "a snowy red car", blend=blend, num_inference_steps=2, progress=False
    ... )
    """
    sources, targets = as_prompts(source), as_prompts(target)
    seeds = as_seeds(seed)
    if len(sources) != len(targets):
        raise ParameterError(f"{len(sources)} sources need as many targets, got {len(targets)}")
    own = {"num_images_per_prompt", "prompt_embeds"}
    refuse(call, own, "the two images of a pair have one prompt each")
    if blend is not None:
        refuse(call, CALLBACK, "blending is a callback of its own")
    keywords = check_call(pipe, call, prompts=len(sources), images=len(sources) * len(seeds))
    if isinstance(keywords.get("generator"), Generator):
        raise ParameterError("give generator a list with one generator for each pair × seed")
    keywords = {
        name: value.twice() if isinstance(value, PerImage) else value
        for name, value in keywords.items()
    }
    if (hrv is None) != (concept is None):
        raise ParameterError("give both hrv and concept, or neither")
    if self_share is None:
        self_share = SELF_SHARE if hrv is None else SELF_SHARE_WITH_VECTORS
    factors, model = None, None
    if hrv is not None and concept is not None:
        row = concept_vector(hrv, concept)
        factors = strengthening_factors(row.values, hrv_strength)
        model = None if allow_other_model else hrv.attrs.get("model_fingerprint")
    both = list(zip(sources, targets, strict=True))
    aligned = [align(pipe, *pair, alignment) for pair in both]
    columns = None if blend is None else blended_columns(pipe, both, blend, blend_threshold)
    warn_of_unknown_words(pipe, [*sources, *targets])
    injection = Injection(aligned, factors, cross_share, self_share, model=model)
    calls = forecast_calls(pipe, call)
    injection.injected_calls(calls, min(calls, call.get("num_inference_steps", calls)))
    images = []
    batches = plan_batches(sources, seeds, max(batch_size // 2, 1))
    for batch in track(batches, "edit", disable=not progress or len(batches) == 1):
        pairs = Batch(
            tuple(prompt for i in batch.indices for prompt in both[i]),
            tuple(np.repeat(batch.indices, 2).tolist()),
            tuple(np.repeat(batch.seeds, 2).tolist()),
            2 * batch.first,
        )
        parts: list[Part] = [injection.for_pairs(batch.indices)]
        own_call = dict(keywords)
        if columns is not None:
            local = LocalBlend([own for i in batch.indices for own in columns[i]], blend_threshold)
            parts.append(Unedited(local))
            own_call["callback_on_step_end"] = local.after_step
        made = run_batch(pipe, pairs, *parts, output_type="np", **own_call)
        images.append(as_uint8(made.images))
    return np.concatenate(images)
