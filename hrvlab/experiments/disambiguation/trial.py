"""Disambiguation: how often images show the wrong sense of a word, and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.attention import Rescale
from hrvlab.errors import ParameterError
from hrvlab.experiments.conditions import Prompt, plan_trial, unfold
from hrvlab.experiments.disambiguation.conditions import REWORDED, make_factors
from hrvlab.experiments.runner import run_trial
from hrvlab.relevance.model import check_model
from hrvlab.scorers.base import score_names, score_thresholds, thresholds_of, where_known

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.experiments.conditions import Condition
    from hrvlab.experiments.disambiguation.cases import AmbiguousWord
    from hrvlab.experiments.runner import Trial
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run


def disambiguate(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[AmbiguousWord],
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Generate ambiguous words under several conditions, and score which sense each image shows.

    Parameters
    ----------
    pipe, hrv, cases
        See `plan_disambiguation`.
    store : str or Path, optional
        Keeps finished units, images and the result, in a folder of its own for every plan; a
        killed trial resumes at its first missing unit and ends in the same numbers.
    client : distributed.Client, optional
        Of a cluster that generates the images; see `hrvlab.experiments.runner.run_trial`.
    progress : bool
    **options
        Further keywords of `plan_disambiguation`, such as ``score``, ``seeds`` and ``gain``.

    Returns
    -------
    Run
        Its data: ``misread (condition, prompt, seed)`` bool, and ``margin`` float32, the score of
        the wanted sense less that of the unwanted one, both NaN for images that were withheld, and
        for several scores with the leading dim ``evaluator``; with a store also ``image``, file
        names for `Run.images`. The conditions are those of `make_factors`; ``"reworded"``, the
        untouched model with a plainer prompt; and the others.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 5 of arXiv 2412.02237, where people judged what was misread.

    Examples
    --------
    >>> from hrvlab.experiments.disambiguation import read_disambiguation
    >>> run = disambiguate(
    ...     pipe, hrv, read_disambiguation("miniature", "test").cases[:1], score=hl.judge_score(),
    ...     seeds=[0], num_inference_steps=2, progress=False,
    ... )
    >>> dict(run.data["misread"].sizes)
    {'condition': 6, 'prompt': 1, 'seed': 1}
    """
    trial = plan_disambiguation(pipe, hrv, cases, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_disambiguation(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[AmbiguousWord],
    *,
    score: Score | Mapping[str, Score],
    seeds: Sequence[int] = tuple(range(8)),
    gain: float = 2.0,
    loss: float = 1.0,
    window: tuple[int, int | None] = (0, None),
    others: Mapping[str, Sequence[Condition]] | None = None,
    batch_size: int = 16,
    **call: Any,
) -> Trial:
    """Plan the trial that `disambiguate` runs.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of AmbiguousWord
        From `read_disambiguation`.
    score : Score or mapping of str to Score
        An image shows the sense that scores higher, and not the wanted one if that scores below
        the score's threshold; one, or several by the names of their evaluators.
    seeds : sequence of int
        Of the initial noise.
    gain, loss : float
        Of adjusting.
    window : tuple of int or None
        First denoiser call and past-the-last denoiser call in which heads are rescaled.
    others : mapping of str to sequence of Condition, optional
        Further conditions by name: for each case a condition of one row.
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
    others = others or {}
    for name, of_cases in others.items():
        if [condition.rows for condition in of_cases] != [1] * len(cases):
            raise ParameterError(
                f"{name!r} needs a condition of one row for each of {len(cases)} cases"
            )
    conditions: list[Condition] = []
    for index, case in enumerate(cases):
        factors = make_factors(hrv, case, gain=gain, loss=loss, seed=index)
        edit = Rescale(np.stack(list(factors.values())), case.word, window)
        conditions += [Prompt(case.prompt, index, edit), Prompt(case.reworded, index)]
        conditions += [of_cases[index] for of_cases in others.values()]
    names = [*factors, REWORDED, *others]
    texts = {
        sense: [getattr(case, sense) for case in cases for _ in names]
        for sense in ("wanted", "unwanted")
    }

    def finish(rows: xr.Dataset) -> xr.Dataset:
        margin = rows["wanted"] - rows["unwanted"]
        misread = (margin <= 0) | (rows["wanted"] < thresholds_of(score))
        misread = where_known(misread, margin.notnull())
        found = xr.Dataset({"misread": misread, "margin": margin, "image": rows["image"]})
        labeled = unfold(found, {"prompt": len(cases), "condition": len(names)}).assign_coords(
            condition=names,
            prompt_text=("prompt", [case.prompt for case in cases]),
            word=("prompt", [case.word for case in cases]),
            wanted=("prompt", [case.wanted for case in cases]),
            unwanted=("prompt", [case.unwanted for case in cases]),
        )
        return labeled.transpose(..., "condition", "prompt", "seed")

    parameters = {
        "cases": [case.model_dump() for case in cases],
        "score": score_names(score),
        "thresholds": score_thresholds(score),
        "conditions": names,
        "gain": gain,
        "loss": loss,
        "window": list(window),
        "batch_size": batch_size,
        **call,
    }
    return plan_trial(
        pipe,
        conditions,
        finish,
        schema="disambiguation",
        parameters=parameters,
        score=score,
        texts=texts,
        seeds=seeds,
        batch_size=batch_size,
        **call,
    )


def choose_setting(found: xr.Dataset, settings: Sequence[str]) -> str:
    """Choose the setting with the lowest share of misread images, over all evaluators.

    Parameters
    ----------
    found : xarray.Dataset
        Data of a run of `disambiguate`.
    settings : sequence of str
        Names of conditions; of equally good ones the first is chosen.
    """
    misread = found["misread"].sel(condition=list(settings)).astype(float)
    rates = misread.mean([dim for dim in misread.dims if dim != "condition"])
    return settings[int(rates.values.argmin())]
