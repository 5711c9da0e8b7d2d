"""Images in which single heads are turned down or up, generated before an atlas is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrvlab.attention.edits import CONTENT, Rescale
from hrvlab.errors import ParameterError
from hrvlab.generation import Batch, as_uint8, check_edits, run_batch
from hrvlab.keywords import check_call
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import head_table
from hrvlab.progress import track

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Changed:
    """Images of one prompt, each with the attention of a single head multiplied by a factor.

    Parameters
    ----------
    prompt : int
        The prompt's number in the panel.
    words : str or list of str
        Whose attention is multiplied; ``"content"``: every word.
    window : tuple of int or None
        First denoiser call, and the one after the last.
    heads : list of int
        Head positions.
    factors : list of float
    images : ndarray of uint8, shape (head, factor, y, x, channel)
    """

    prompt: int
    words: str | list[str]
    window: tuple[int, int | None]
    heads: list[int]
    factors: list[float]
    images: NDArray[np.uint8]


def turn_heads(
    pipe: DiffusionPipeline,
    prompt: str,
    *,
    factors: Sequence[float] = (-2.0, 0.0, 3.0),
    heads: Sequence[int] | None = None,
    words: str | list[str] = CONTENT,
    window: tuple[int, int | None] = (0, None),
    index: int = 0,
    seed: int = 0,
    batch_size: int = 16,
    progress: bool = True,
    **call: Any,
) -> Changed:
    """Generate an image with every head turned down or up alone, by each of a few factors.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompt : str
    factors : sequence of float
        By which the head's attention is multiplied.
    heads : sequence of int, optional
        Head positions; default: all.
    words : str or list of str
        Words of the prompt, or ``"content"``: every word.
    window : tuple of int or None
        First denoiser call in which the head is changed, and the one after the last.
    index : int
        The prompt's number in the panel, from which its noise derives.
    seed : int
    batch_size : int
        Images that go through the model together.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Changed

    Raises
    ------
    ParameterError, TokenError
        Before anything is generated.

    Examples
    --------
    >>> from hrvlab.atlas import turn_heads
    >>> turned = turn_heads(
    ...     pipe, "a red car", heads=[3], factors=[0.0], num_inference_steps=2, progress=False
    ... )
    >>> turned.images.shape
    (1, 1, 64, 64, 3)
    """
    count = head_table(denoiser_of(pipe)).sizes["head_position"]
    chosen = list(range(count)) if heads is None else [int(head) for head in heads]
    if not chosen or not len(factors):
        raise ParameterError("there is no head or no factor; give at least one of each")
    if wrong := [head for head in chosen if not 0 <= head < count]:
        raise ParameterError(f"there is no head {wrong[0]}; give 0 to {count - 1}")
    keywords = check_call(pipe, call, prompts=1, images=1)
    rows = np.ones((len(chosen) * len(factors), count))
    rows[np.arange(len(rows)), np.repeat(chosen, len(factors))] = np.tile(factors, len(chosen))
    check_edits(pipe, [Rescale(rows[0], words, window)], [prompt], call)
    starts = range(0, len(rows), batch_size)
    images = []
    for start in track(starts, "heads", disable=not progress or len(starts) == 1):
        own = rows[start : start + batch_size]
        batch = Batch((prompt,) * len(own), (index,) * len(own), (seed,) * len(own))
        made = run_batch(pipe, batch, Rescale(own, words, window), output_type="np", **keywords)
        images.append(as_uint8(made.images))
    together = np.concatenate(images)
    shape = (len(chosen), len(factors), *together.shape[1:])
    return Changed(
        index, words, window, chosen, [float(f) for f in factors], together.reshape(shape)
    )
