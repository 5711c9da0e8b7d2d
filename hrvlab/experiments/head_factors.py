"""Trials over factors of the heads: many interventions share a batch, as cheap as plain images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.attention import Rescale
from hrvlab.attention.edits import CONTENT
from hrvlab.errors import ParameterError
from hrvlab.experiments.runner import Generated, Trial, TrialUnit
from hrvlab.generation import Batch, as_uint8, plan_batches, run_batch
from hrvlab.keywords import check_call, refuse
from hrvlab.scorers.base import check_texts, score_names

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.scorers.base import Score
    from hrvlab.storage.units import Unit
    from hrvlab.typing import HeadFactors

SCORED = "scored"


@dataclass(frozen=True)
class Intervention:
    """Images in which heads are rescaled, and how they are scored.

    Parameters
    ----------
    prompts : sequence of str
    texts : sequence of str
        For each prompt, the text that its images are scored against.
    score : Score or mapping of str to Score
        One, or several by the names of their evaluators.
    factor : float
        By which the chosen heads' attention is multiplied.
    seeds : sequence of int
        Of the initial noise.
    tokens : str or sequence of str
        ``"content"``: every word of the prompt; ``"scored"``: only the word that its images are
        scored against; or a word, or several.
    window : tuple of int or None
        First denoiser call in which heads are rescaled, and the one after the last.
    batch_size : int
        Images that go through the model together; part of the plan.
    call : dict
        Keywords of the pipeline's own call.
    """

    prompts: Sequence[str]
    texts: Sequence[str]
    score: Score | Mapping[str, Score]
    factor: float = -2.0
    seeds: Sequence[int] = (0,)
    tokens: str | Sequence[str] = CONTENT
    window: tuple[int, int | None] = (0, None)
    batch_size: int = 16
    call: Mapping[str, Any] = field(default_factory=dict)

    def edit(self, factors: HeadFactors, prompts: Sequence[int]) -> Rescale:
        """Build the edit of some prompts, with a row of factors for each."""
        words = [[self.texts[p]] for p in prompts] if self.tokens == SCORED else self.tokens
        return Rescale(factors, words, self.window)

    def plan(self) -> dict[str, Any]:
        """Return all that determines images and scores besides the factors, as JSON."""
        return {
            "prompts": list(self.prompts),
            "texts": list(self.texts),
            "score": score_names(self.score),
            "factor": self.factor,
            "seeds": list(self.seeds),
            "tokens": self.tokens if isinstance(self.tokens, str) else list(self.tokens),
            "window": list(self.window),
            "batch_size": self.batch_size,
            **self.call,
        }


def plan_trial(
    pipe: DiffusionPipeline,
    factors: HeadFactors,
    given: Intervention,
    finish: Callable[[xr.Dataset], xr.Dataset],
    *,
    schema: str,
    plan: dict[str, Any],
) -> Trial:
    """Plan a trial that generates every prompt with every seed under every row of factors.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    factors : ndarray of float, shape (setting, head_position)
        By which each head's attention to the tokens is multiplied.
    given : Intervention
    finish : callable (xarray.Dataset) -> xarray.Dataset
        Makes the result from ``score (setting, prompt, seed)`` float32, with the leading dim
        ``evaluator`` if there are several, and ``image (setting, prompt, seed)``, file names.
    schema : str
        Of the result.
    plan : dict
        What determines the factors; the rest of the plan comes from ``given``.

    Returns
    -------
    Trial
        For `hrvlab.experiments.runner.run_trial`.

    Raises
    ------
    ParameterError, TokenError
        If there is no prompt or no seed, a prompt has no text that the score knows, a factor is
        not finite, or a word is not in a prompt.
    """
    prompts, texts, seeds = given.prompts, given.texts, given.seeds
    if len(texts) != len(prompts):
        raise ParameterError(f"{len(prompts)} prompts need as many texts, got {len(texts)}")
    check_texts(given.score, texts)
    plan_batches(prompts, seeds, given.batch_size)
    own = {"num_images_per_prompt", "output_type", "latents", "generator", "prompt_embeds"}
    refuse(given.call, own, "every prompt has one image per seed and row of factors")
    call = check_call(pipe, given.call, prompts=len(prompts), images=len(prompts) * len(seeds))
    given.edit(factors, range(len(prompts))).columns(pipe, prompts)
    # All settings of a prompt and seed are adjacent, so that a killed run has complete prompts.
    shape = (len(prompts), len(seeds), len(factors))
    images = list(np.ndindex(shape))
    size = given.batch_size
    units = [
        _unit(factors, given, call, images[start : start + size])
        for start in range(0, len(images), size)
    ]

    def assemble(finished: list[Unit]) -> xr.Dataset:
        scores = np.concatenate([unit["score"] for unit in finished], axis=-1, dtype=np.float32)
        names = np.array([name for unit in units for name in unit.names])
        leading = {"evaluator": list(given.score)} if isinstance(given.score, Mapping) else {}
        dims = ("prompt", "seed", "setting")
        laid_out = xr.Dataset(
            {
                "score": ((*leading, *dims), scores.reshape(*scores.shape[:-1], *shape)),
                "image": (dims, names.reshape(shape)),
            },
            {
                **leading,
                "prompt_text": ("prompt", list(prompts)),
                "text": ("prompt", list(texts)),
                "seed": list(seeds),
            },
        )
        return finish(laid_out.transpose(*leading, "setting", "prompt", "seed"))

    whole = {**plan, **given.plan()}
    return Trial(schema, whole, whole, seeds, given.score, units, assemble)


def _unit(
    factors: HeadFactors,
    given: Intervention,
    call: Mapping[str, Any],
    images: Sequence[tuple[int, ...]],
) -> TrialUnit:
    """Make a unit of images, each given by the indices of its prompt, seed and setting."""
    prompts, seeds, settings = (list(numbers) for numbers in zip(*images, strict=True))
    batch = Batch(
        tuple(given.prompts[prompt] for prompt in prompts),
        tuple(prompts),
        tuple(given.seeds[seed] for seed in seeds),
    )
    edit = given.edit(factors[settings], prompts)
    names = [f"{prompt:03d}-{seed:03d}-{setting:03d}.png" for prompt, seed, setting in images]
    texts = [given.texts[prompt] for prompt in prompts]
    return TrialUnit(partial(_generate, batch, edit, call), names, {"score": texts})


def _generate(
    batch: Batch, edit: Rescale, call: Mapping[str, Any], pipe: DiffusionPipeline
) -> Generated:
    """Generate the images of a unit."""
    return Generated(as_uint8(run_batch(pipe, batch, edit, output_type="np", **call).images))
