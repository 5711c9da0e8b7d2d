"""The trial of ordered weakening: more and more heads are weakened, and the images scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.attention.edits import CONTENT
from hrvlab.experiments.head_factors import Intervention, plan_trial
from hrvlab.experiments.runner import run_trial
from hrvlab.experiments.weakening.conditions import (
    KINDS,
    check_cuts,
    make_orders,
    weakened_factors,
)
from hrvlab.generation import plan_batches
from hrvlab.inputs.prompts import as_prompts
from hrvlab.noise import as_seeds
from hrvlab.relevance.model import check_model
from hrvlab.relevance.vectors import concept_vector

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.experiments.runner import Trial
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run
    from hrvlab.typing import Prompts


def weaken(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Prompts,
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Weaken more and more heads, in several orders, and score the images.

    Many interventions share a batch, so that a trial costs no more than plain generation. With a
    store, a killed trial resumes at its first missing batch and ends in the same numbers.

    Parameters
    ----------
    pipe, hrv, concept, prompts
        See `plan_weakening`.
    store : str or Path, optional
        Keeps finished units, images and the result, in a folder of its own for every plan; a
        killed trial resumes at its first missing unit and ends in the same numbers.
    client : distributed.Client, optional
        Of a cluster that generates the images; see `hrvlab.experiments.runner.run_trial`.
    progress : bool
    **options
        Further keywords of `plan_weakening`, such as ``texts``, ``score``, ``seeds`` and ``cuts``.

    Returns
    -------
    Run
        Its data: ``score (order, weakened, prompt, seed)`` float32, with the leading dim
        ``evaluator`` if there are several; with a store also ``image``, file names for
        `Run.images`. The coordinate ``kind (order)`` is the same for all random orders; ``share
        (weakened)`` is the share of heads that are weakened.

    Raises
    ------
    ConceptError, ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 4 of arXiv 2412.02237.

    Examples
    --------
    >>> run = hl.weaken(
    ...     pipe, hrv, "Color", ["a red car"], texts=["red"], score=hl.judge_score(), cuts=[64],
    ...     draws=1, num_inference_steps=2, progress=False,
    ... )
    >>> dict(run.data["score"].sizes)
    {'order': 3, 'weakened': 3, 'prompt': 1, 'seed': 1}
    """
    trial = plan_weakening(pipe, hrv, concept, prompts, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_weakening(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Prompts,
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    orders: Sequence[str] = KINDS,
    draws: int = 5,
    cuts: Sequence[int] | None = None,
    factor: float = -2.0,
    seeds: Sequence[int] = (0,),
    tokens: str | Sequence[str] = CONTENT,
    window: tuple[int, int | None] = (0, None),
    batch_size: int = 16,
    allow_other_model: bool = False,
    **call: Any,
) -> Trial:
    """Plan the trial that `weaken` runs.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str
        Whose vector orders the heads.
    prompts : str, Path, or iterable of str
    texts : sequence of str
        For each prompt, the text that its images are scored against: the concept's word, as
        published.
    score : Score or mapping of str to Score
        Such as `clip_score` loads; or several, by the names of their evaluators.
    orders : sequence of str
        ``"MoRHF"``: most relevant heads first; ``"LeRHF"``: least relevant first; ``"random"``.
    draws : int
        Number of random orders.
    cuts : sequence of int, optional
        Numbers of weakened heads; none and all are always included. Default: nine, evenly spread.
    factor : float
        By which the weakened heads' attention is multiplied.
    seeds : sequence of int
        Of the initial noise; random orders use the first.
    tokens : str or sequence of str
        ``"content"``: every word of the prompt; ``"scored"``: only the word that its images are
        scored against; or a word, or several.
    window : tuple of int or None
        First denoiser call in which heads are weakened, and the one after the last.
    batch_size : int
        Images that go through the model together; part of the plan.
    allow_other_model : bool
        Use vectors that were built from another model.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Trial

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
    """
    check_model(hrv, pipe, allow_other_model=allow_other_model)
    prompts = as_prompts(prompts)
    plan_batches(prompts, seeds, batch_size)
    relevance = concept_vector(hrv, concept)
    ordered = make_orders(relevance, orders, draws=draws, seed=as_seeds(seeds)[0])
    heads = relevance.sizes["head_position"]
    counts = check_cuts(cuts, heads)
    factors, index = weakened_factors(list(ordered.values()), counts, factor)
    given = Intervention(prompts, texts, score, factor, seeds, tokens, window, batch_size, call)

    def finish(scored: xr.Dataset) -> xr.Dataset:
        return scored.isel(setting=xr.DataArray(index, dims=("order", "weakened"))).assign_coords(
            order=list(ordered),
            kind=("order", [name.split(" ")[0] for name in ordered]),
            weakened=counts,
            share=("weakened", np.array(counts) / heads),
        )

    orders_plan = {name: order.tolist() for name, order in ordered.items()}
    plan = {"concept": concept, "orders": orders_plan, "cuts": counts}
    return plan_trial(pipe, factors, given, finish, schema="weakening", plan=plan)
