"""Rescaling of attention maps, carried out on the values, where it costs nothing.

A head computes ``O = A V``. Multiplying token column n of the map by f, after the softmax and
without renormalizing, is the same as multiplying row n of the values: ``(A diag(f)) V =
A (diag(f) V)``. So no map is materialized and the fused attention kernel stays in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.columns import missing_columns
from hrvlab.models.families import family_of
from hrvlab.models.load import fingerprint
from hrvlab.models.tokens import content_columns, token_table, word_columns

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.attention.calls import Call, Hook, Rows
    from hrvlab.models.columns import Side
    from hrvlab.models.layers import Layer
    from hrvlab.typing import HeadFactors, TokenMask

CONTENT = "content"
NO_WORDS = (
    "prompt_embeds have columns without names, in which an edit finds no word; give the prompts "
    "alone"
)


@dataclass(frozen=True)
class Rescale:
    """An edit that multiplies token columns of each head's conditional map by the head's factor.

    Parameters
    ----------
    factors : ndarray of float, shape (head_position,) or (prompt, head_position)
        One factor per head, in the published order; with a leading dim, one row per prompt.
    words : str or sequence of str, or a sequence of those, one per prompt
        A word or phrase, or several; ``"content"`` means every word of the prompt.
    window : tuple of int or None
        First denoiser call, and the call after the last, in which the edit acts; None: to the end.
    model : str, optional
        Fingerprint of the only model that the factors are valid for; None: any model.

    Raises
    ------
    ParameterError
        If a factor is not finite, the shape is wrong, or the window is empty.

    Examples
    --------
    Weaken every head's attention to "red" in all calls but the first:

    >>> heads = hl.head_table(pipe.unet).sizes["head_position"]
    >>> edit = hl.Rescale(np.full(heads, -2.0), "red", window=(1, None))
    >>> np.flatnonzero(edit.columns(pipe, ["a red car"])).tolist()
    [2]
    """

    factors: HeadFactors
    words: str | Sequence[str] | Sequence[Sequence[str]] = CONTENT
    window: tuple[int, int | None] = (0, None)
    model: str | None = None

    def __post_init__(self) -> None:
        words = self.words if isinstance(self.words, str) else list(self.words)
        if not len(words):
            raise ParameterError("the list of words is empty; give at least one word of the prompt")
        object.__setattr__(self, "words", words)
        factors = np.asarray(self.factors, dtype=np.float64)
        if factors.ndim not in (1, 2):
            raise ParameterError(
                "factors must have dims (head_position,) or (prompt, head_position), "
                f"got shape {factors.shape}"
            )
        if not np.isfinite(factors).all():
            raise ParameterError("every factor must be a finite number; some are NaN or infinite")
        start, stop = self.window
        if start < 0 or (stop is not None and stop <= start):
            raise ParameterError(
                f"the window {self.window} contains no denoiser call; give (first, last + 1)"
            )
        object.__setattr__(self, "factors", factors)

    def for_prompts(self, indices: Sequence[int]) -> Rescale:
        """Return the edit for some of the prompts only."""
        factors = self.factors if self.factors.ndim == 1 else self.factors[list(indices)]
        words = [self.words[index] for index in indices] if self._each else self.words
        return replace(self, factors=factors, words=words)

    @property
    def _each(self) -> bool:
        """Whether every prompt has words of its own."""
        return not isinstance(self.words, str) and not isinstance(self.words[0], str)

    def columns(
        self, pipe: DiffusionPipeline, prompts: Sequence[str], **encoding: Any
    ) -> TokenMask:
        """Mark the token columns that the edit acts on in each prompt.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        prompts : sequence of str
        **encoding
            See `attach`.

        Returns
        -------
        ndarray of bool, shape (prompt, token)
            Prompts are padded to the longest where there is no fixed length.

        Raises
        ------
        TokenError
            If a word does not occur in a prompt.
        """
        lengths = [len(token_table(pipe, text, **encoding)) for text in prompts]
        mask = np.zeros((len(prompts), max(lengths, default=0)), bool)
        side = family_of(pipe).padding
        of_prompts = self.words if self._each else [self.words] * len(prompts)
        for every, length, prompt, words in zip(mask, lengths, prompts, of_prompts, strict=True):
            row = every[-length:] if side == "left" else every
            if words == CONTENT:
                row[content_columns(pipe, prompt, **encoding)] = True
                continue
            for word in [words] if isinstance(words, str) else words:
                row[word_columns(pipe, prompt, str(word), **encoding)] = True
        return mask


class BoundRescale:
    """A `Rescale` bound to its prompts' token columns and to a model's layers.

    Parameters
    ----------
    edit : Rescale
    mask : ndarray of bool, shape (prompt, token)
        The columns that it acts on.
    layers : sequence of Layer
    padding : {"left", "right"}
        Where a batch may have more columns than the mask.

    Raises
    ------
    ParameterError
        If the factors do not match the model's heads or the prompts.
    """

    def __init__(
        self, edit: Rescale, mask: TokenMask, layers: Sequence[Layer], padding: Side = "right"
    ) -> None:
        positions = sum(layer.heads for layer in layers)
        if edit.factors.shape[-1] != positions:
            raise ParameterError(
                f"the edit has factors for {edit.factors.shape[-1]} head positions, the model has "
                f"{positions}; use an HRV built on this model"
            )
        if edit.factors.ndim == 2 and len(edit.factors) != len(mask):
            raise ParameterError(
                f"the edit has factors for {len(edit.factors)} prompts, {len(mask)} were given"
            )
        self.window, self._padding = edit.window, padding
        self.mask = torch.from_numpy(mask)
        self.factors = torch.from_numpy(np.atleast_2d(edit.factors))
        self._scales: dict[tuple[int, bool], tuple[Rows, Tensor | None]] = {}

    def check(self, call: Call) -> None:
        """Check that the window begins within the generation."""
        if call.calls is not None and self.window[0] >= call.calls:
            raise ParameterError(
                f"an edit begins at denoiser call {self.window[0]}, and there are only "
                f"{call.calls}; give an earlier window, or more steps"
            )

    def hooks(self, layer: Layer) -> dict[str, Hook]:
        """Return the hook of the value projection of a layer's transformer block."""
        return {"attn2.to_v": partial(self._rescale, layer)}

    def _rescale(self, layer: Layer, call: Call, value: Tensor) -> Tensor:
        """Rescale the prompts' rows of a value projection's output (batch, token, channel)."""
        start, stop = self.window
        if call.index < start or (stop is not None and call.index >= stop):
            return value
        place = layer.index, call.observed
        rows, scale = self._scales.get(place, (None, None))
        # The factors are laid out anew only when the rows of the batch are others.
        if rows is not call.rows:
            scale = self._lay_out(layer, call, value)
            self._scales[place] = call.rows, scale
        if scale is None:
            return value
        return (value.unflatten(-1, (layer.heads, -1)) * scale).flatten(-2)

    def _lay_out(self, layer: Layer, call: Call, value: Tensor) -> Tensor | None:
        """Lay the factors out by row, token and head, (batch, token, head, 1); None: all are 1."""
        factors = self.factors[:, layer.head_positions]
        per_token = torch.where(self.mask[:, :, None], factors[:, None, :], 1.0)
        if (per_token == 1).all():
            return None
        left, right = missing_columns(value.shape[1] - per_token.shape[1], self._padding)
        per_token = pad(per_token, (0, 0, left, right), value=1.0)
        scale = torch.ones(len(value), *per_token.shape[1:]).to(value)
        scale[call.rows.edited] = per_token[list(call.rows.prompts) * call.rows.passes].to(value)
        return scale[..., None]


def check_fingerprint(pipe: DiffusionPipeline, model: str) -> None:
    """Check that a pipeline is the model that an edit was made for.

    Raises
    ------
    ModelError
        If it is not.
    """
    if fingerprint(pipe) != model:
        raise ModelError(
            f"the edit was made for model {model}, this one is {fingerprint(pipe)}; build the "
            "relevance vectors anew on this model, or pass allow_other_model=True"
        )
