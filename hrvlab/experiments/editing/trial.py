"""Editing: replace words of a prompt, and measure what is gained against what is preserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.experiments.conditions import Prompt, condition_names, plan_trial, unfold
from hrvlab.experiments.editing.background import Beside, Source
from hrvlab.experiments.editing.conditions import make_conditions
from hrvlab.experiments.runner import run_trial
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.model import check_model
from hrvlab.scorers.base import reaches, score_names

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.experiments.conditions import Condition
    from hrvlab.experiments.editing.cases import EditingCase
    from hrvlab.experiments.runner import Trial
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run

# What is measured, by the names in stored plans.
MEASURES = {"reached": "target_score", "kept": "preservation", "moved": "background_change"}


def rate_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[EditingCase],
    conditions: Sequence[Mapping[str, Condition]],
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Edit prompts under several conditions, and score the target, the object and the background.

    Parameters
    ----------
    pipe, hrv, cases, conditions
        See `plan_edits`.
    store : str or Path, optional
        Keeps finished units, images and the result, in a folder of its own for every plan; a
        killed trial resumes at its first missing unit and ends in the same numbers.
    client : distributed.Client, optional
        Of a cluster that generates the images; see `hrvlab.experiments.runner.run_trial`.
    progress : bool
    **options
        Further keywords of `plan_edits`, such as ``score`` and ``seeds``.

    Returns
    -------
    Run
        Its data: ``target_score (condition, prompt, seed)``, the score of what the new words ask
        for, and ``preservation``, that of the object that should stay, both float32, for several
        scores with the leading dim ``evaluator``; ``background_change`` float64, the mean absolute
        difference from the source image outside the object, 0 to 1; all NaN for images that were
        withheld; with a store also ``image``
        and ``source_image (prompt, seed)``, file names for `Run.images`.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    The weaker the source's cross-attention to the object at a pixel, the more the pixel counts as
    background.
    """
    trial = plan_edits(pipe, hrv, cases, conditions, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[EditingCase],
    conditions: Sequence[Mapping[str, Condition]],
    *,
    score: Score | Mapping[str, Score],
    seeds: Sequence[int] = tuple(range(8)),
    batch_size: int = 16,
    **call: Any,
) -> Trial:
    """Plan the trial that `rate_edits` runs.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of EditingCase
        From `read_editing`.
    conditions : sequence of dict of str to Condition
        For each case the same conditions, from `make_conditions` or of one's own.
    score : Score or mapping of str to Score
        One, or several by the names of their evaluators.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
        Images of a condition that go through the model together.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Trial

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
    """
    if not cases:
        raise ParameterError("the list of cases is empty; give at least one")
    check_model(hrv, pipe)
    for case in cases:
        word_columns(pipe, case.source, case.noun)
    sources = [Source(case, index) for index, case in enumerate(cases)]
    names = condition_names(conditions, len(cases))
    rows = [[of_case[name] for of_case in conditions] for name in names]
    rows.append([Prompt(case.source, index) for index, case in enumerate(cases)])
    texts = {  # the names in stored plans
        "reached": [case.wanted for case in cases] * len(rows),
        "kept": [case.object for case in cases] * len(rows),
    }
    targets, concepts = [case.target for case in cases], [case.concept for case in cases]

    def finish(scored: xr.Dataset) -> xr.Dataset:
        found = unfold(scored, {"condition": len(rows), "prompt": len(cases)}).rename(MEASURES)
        edited = found.isel(condition=slice(len(names))).assign_coords(
            condition=names,
            prompt_text=("prompt", [case.source for case in cases]),
            target_text=("prompt", targets),
            concept=("prompt", concepts),
        )
        edited["source_image"] = found["image"].isel(condition=len(names), drop=True)
        return edited.transpose(..., "condition", "prompt", "seed")

    parameters = {
        "cases": [case.model_dump() for case in cases],
        "score": score_names(score),
        "conditions": names,
        "batch_size": batch_size,
        **call,
    }
    return plan_trial(
        pipe,
        [
            Beside(condition, source)
            for row in rows
            for condition, source in zip(row, sources, strict=True)
        ],
        finish,
        schema="editing",
        parameters=parameters,
        score=score,
        texts=texts,
        seeds=seeds,
        batch_size=batch_size,
        **call,
    )


def compare_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[EditingCase],
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Edit prompts under the conditions of `make_conditions`, and score the images.

    Parameters
    ----------
    pipe, hrv, cases, store, client, progress
        See `rate_edits`.
    **options
        Further keywords of `plan_comparison`, such as ``score``, ``seeds`` and ``strengths``.

    Returns
    -------
    Run
        See `rate_edits`.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 6 of arXiv 2412.02237.

    Examples
    --------
    >>> from hrvlab.experiments.editing import read_editing
    >>> run = compare_edits(
    ...     pipe, hrv, read_editing("miniature", "test").cases[:1], score=hl.judge_score(),
    ...     seeds=[0], num_inference_steps=3, progress=False,
    ... )
    >>> dict(run.data["target_score"].sizes)
    {'condition': 9, 'prompt': 1, 'seed': 1}
    """
    trial = plan_comparison(pipe, hrv, cases, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_comparison(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[EditingCase],
    *,
    strengths: Sequence[float] = (),
    **options: Any,
) -> Trial:
    """Plan the trial that `compare_edits` runs.

    Parameters
    ----------
    pipe, hrv, cases
        See `plan_edits`.
    strengths : sequence of float
        Of the vector, besides 0 and 1.
    **options
        Further keywords of `plan_edits`.

    Returns
    -------
    Trial

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
    """
    conditions = [
        make_conditions(hrv, case, i, strengths=strengths) for i, case in enumerate(cases)
    ]
    return plan_edits(pipe, hrv, cases, conditions, **options)


def misses(target_score: xr.DataArray, threshold: float | None) -> xr.DataArray:
    """Mark the edits whose image does not show what the new words ask for.

    Parameters
    ----------
    target_score : xarray.DataArray
        By one evaluator, from a run of `rate_edits`.
    threshold : float or None
        Of the score; None if it cannot tell.

    Returns
    -------
    xarray.DataArray of float64
        1 where the image misses it, 0 where it does not, NaN where that is not known.

    Examples
    --------
    >>> misses(xr.DataArray([0.9, 0.1, np.nan], dims="seed"), 0.5).values.tolist()
    [0.0, 1.0, nan]
    """
    return 1 - reaches(target_score, threshold).astype(np.float64)
