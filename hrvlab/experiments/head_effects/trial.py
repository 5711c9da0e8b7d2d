"""The trial of single heads: each is weakened alone, and the fall of the score is its effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.attention.edits import CONTENT
from hrvlab.capture import capture
from hrvlab.experiments.head_factors import Intervention, plan_trial
from hrvlab.experiments.runner import run_trial
from hrvlab.inputs.prompts import as_prompts
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import head_table
from hrvlab.models.tokens import word_columns
from hrvlab.noise import as_seeds
from hrvlab.relevance.vectors import stack_heads

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.experiments.runner import Trial
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run
    from hrvlab.typing import Prompts


def head_effects(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Weaken every head alone, and measure by how much the score of the images falls.

    Parameters
    ----------
    pipe, prompts
        See `plan_head_effects`.
    store : str or Path, optional
        Keeps finished units, images and the result, in a folder of its own for every plan; a
        killed trial resumes at its first missing unit and ends in the same numbers.
    client : distributed.Client, optional
        Of a cluster that generates the images; see `hrvlab.experiments.runner.run_trial`.
    progress : bool
    **options
        Further keywords of `plan_head_effects`, such as ``texts``, ``score`` and ``seeds``.

    Returns
    -------
    Run
        Its data: ``effect (head_position, prompt, seed)`` float32, the score of the unmodified
        image minus that of the image with the head weakened: positive where the head matters; and
        ``plain (prompt, seed)``, the score of the unmodified image. Both have the leading dim
        ``evaluator`` if there are several. With a store also ``image``, file names for
        `Run.images`.

    Raises
    ------
    ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.

    Examples
    --------
    >>> from hrvlab.experiments.head_effects import head_effects
    >>> run = head_effects(
    ...     pipe, ["a red car"], texts=["red"], score=hl.judge_score(),
    ...     num_inference_steps=1, progress=False,
    ... )
    >>> dict(run.data["effect"].sizes)
    {'head_position': 128, 'prompt': 1, 'seed': 1}
    """
    trial = plan_head_effects(pipe, prompts, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_head_effects(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    factor: float = -2.0,
    seeds: Sequence[int] = (0,),
    tokens: str | Sequence[str] = CONTENT,
    window: tuple[int, int | None] = (0, None),
    batch_size: int = 16,
    **call: Any,
) -> Trial:
    """Plan the trial that `head_effects` runs.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompts : str, Path, or iterable of str
    texts : sequence of str
        For each prompt, the text that its images are scored against.
    score : Score or mapping of str to Score
        Such as `judge_score` loads for the miniature: the probability of the right answer; or
        several, by the names of their evaluators.
    factor : float
        By which the weakened head's attention is multiplied.
    seeds : sequence of int
        Of the initial noise.
    tokens : str or sequence of str
        ``"content"``: every word of the prompt; ``"scored"``: only the word that its images are
        scored against; or a word, or several.
    window : tuple of int or None
        First denoiser call in which the head is weakened, and the one after the last.
    batch_size : int
        Images that go through the model together; part of the plan.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Trial

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
    """
    table = head_table(denoiser_of(pipe))
    heads = table.sizes["head_position"]
    factors = np.ones((heads + 1, heads))
    factors[range(heads), range(heads)] = factor
    given = Intervention(
        as_prompts(prompts), texts, score, factor, seeds, tokens, window, batch_size, call
    )

    def finish(scored: xr.Dataset) -> xr.Dataset:
        by_head = scored.rename(setting="head_position")
        alone = by_head.isel(head_position=slice(heads))
        plain = by_head["score"].isel(head_position=heads)
        effect = alone.assign(effect=-(alone["score"] - plain), plain=plain).drop_vars("score")
        return effect.assign_coords(table.coords)

    plan = {"experiment": "head effects"}
    return plan_trial(pipe, factors, given, finish, schema="head_effects", plan=plan)


def effects_beside_attention(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    factor: float = -2.0,
    seeds: Sequence[int] = (0,),
    store: str | Path | None = None,
    client: Client | None = None,
    **call: Any,
) -> Run:
    """Weaken every head alone, and measure how much it attends to the word that is scored.

    Parameters
    ----------
    pipe, prompts, texts, score, factor, seeds, store, client
        See `head_effects`; every text is a word of its prompt.
    **call
        Keywords of the pipeline's own call, and ``batch_size`` and ``progress``.

    Returns
    -------
    Run
        Its data: what `head_effects` measures, and ``attention (head_position)``, see
        `word_attention`, in the images of the first seed.

    Raises
    ------
    ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.

    Examples
    --------
    >>> from hrvlab.experiments.head_effects import effects_beside_attention
    >>> run = effects_beside_attention(
    ...     pipe, ["a red car"], texts=["red"], score=hl.judge_score(),
    ...     num_inference_steps=1, progress=False,
    ... )
    >>> run.data["attention"].dims
    ('head_position',)
    """
    prompts = as_prompts(prompts)
    columns = [word_columns(pipe, *pair) for pair in zip(prompts, texts, strict=True)]
    run = head_effects(
        pipe, prompts, texts=texts, score=score, factor=factor, seeds=seeds, store=store,
        client=client, **call,
    )  # fmt: skip
    captured = capture(pipe, prompts, seed=as_seeds(seeds)[0], **call)
    attention = word_attention(captured, columns, head_table(denoiser_of(pipe)))
    return replace(run, data=run.data.assign(attention=attention))


def word_attention(
    captured: xr.Dataset, columns: Sequence[Sequence[int]], table: xr.Dataset
) -> xr.DataArray:
    """Average each head's attention to one word of every prompt, a baseline for vectors.

    Parameters
    ----------
    captured : xarray.Dataset
        From `hrvlab.capture`.
    columns : sequence of sequence of int, shape (prompt, column)
        The word's token columns in every prompt; their attention is summed.
    table : xarray.Dataset
        The model's `head_table`.

    Returns
    -------
    xarray.DataArray
        Dims ``(head_position)``, in [0, 1]; mean over prompts and denoiser calls.
    """
    by_call = captured["attention"].mean("timestep")
    of_words = [
        by_call.isel(prompt=prompt, token=list(word)).sum("token")
        for prompt, word in enumerate(columns)
    ]
    return stack_heads(xr.concat(of_words, "prompt").mean("prompt"), table).rename("attention")
