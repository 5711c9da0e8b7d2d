"""Neglect: how often images show both of two objects, and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.experiments.conditions import condition_names, plan_trial, unfold
from hrvlab.experiments.neglect.conditions import ExcitedPair, make_conditions
from hrvlab.experiments.runner import run_trial
from hrvlab.relevance.model import check_model
from hrvlab.scorers.base import reaches, score_names, score_thresholds, thresholds_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.experiments.conditions import Condition
    from hrvlab.experiments.neglect.cases import ObjectPair
    from hrvlab.experiments.runner import Trial
    from hrvlab.methods.excitation import Excitation
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run

PHRASES = ("first", "second")  # the names in stored plans
OBJECTS = ("first thing", "second thing")  # the names in stored plans


def rate_pairs(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[ObjectPair],
    conditions: Sequence[Mapping[str, Condition]],
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Generate pairs under several conditions, and score which of their objects the images show.

    Parameters
    ----------
    pipe, hrv, pairs, conditions
        See `plan_pairs`.
    store : str or Path, optional
        Keeps finished units, images and the result, in a folder of its own for every plan; a
        killed trial resumes at its first missing unit and ends in the same numbers.
    client : distributed.Client, optional
        Of a cluster that generates the images; see `hrvlab.experiments.runner.run_trial`.
    progress : bool
    **options
        Further keywords of `plan_pairs`, such as ``score`` and ``seeds``.

    Returns
    -------
    Run
        Its data: ``score (condition, prompt, seed, object)`` float32, of the prompt's words for
        each object; ``shown``, whether the image shows the object as these words say; ``present``,
        whether it shows the object in any color, both NaN where an evaluator has no threshold or
        an image was withheld; and ``prompt_score (condition, prompt, seed)``,
        of the whole prompt: all for several scores with the leading dim ``evaluator``. ``passes
        (condition, prompt, seed)`` int64, the number of denoiser calls with gradients; with a store
        also ``image``, file names for `Run.images`.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    trial = plan_pairs(pipe, hrv, pairs, conditions, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_pairs(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[ObjectPair],
    conditions: Sequence[Mapping[str, Condition]],
    *,
    score: Score | Mapping[str, Score],
    seeds: Sequence[int] = tuple(range(8)),
    batch_size: int = 8,
    **call: Any,
) -> Trial:
    """Plan the trial that `rate_pairs` runs.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    pairs : sequence of ObjectPair
    conditions : sequence of dict of str to Condition
        For each pair the same conditions, from `make_conditions` or of one's own.
    score : Score or mapping of str to Score
        An image shows an object that scores at least the score's threshold; one, or several by
        the names of their evaluators.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
        Images of a pair that go through the model together.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Trial

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
    """
    if not pairs:
        raise ParameterError("the list of pairs is empty; give at least one")
    check_model(hrv, pipe)
    names, prompts = condition_names(conditions, len(pairs)), [pair.prompt for pair in pairs]
    texts = {
        "whole": prompts,  # the name in stored plans
        **{name: [pair.phrases[at] for pair in pairs] for at, name in enumerate(PHRASES)},
        **{name: [pair.objects[at] for pair in pairs] for at, name in enumerate(OBJECTS)},
    }

    def finish(rows: xr.Dataset) -> xr.Dataset:
        found = unfold(rows, {"condition": len(names), "prompt": len(pairs)}).assign_coords(
            condition=names, prompt_text=("prompt", prompts)
        )
        threshold = thresholds_of(score)
        scores, objects = (
            xr.concat([found[name] for name in names_of], "object")
            for names_of in (PHRASES, OBJECTS)
        )
        result = found[["passes", "image"]].assign(
            score=scores,
            shown=reaches(scores, threshold),
            present=reaches(objects, threshold),
            prompt_score=found["whole"],  # the name in stored plans
        )
        return result.transpose(..., "condition", "prompt", "seed", "object")

    parameters = {
        "pairs": [asdict(pair) for pair in pairs],
        "score": score_names(score),
        "thresholds": score_thresholds(score),
        "conditions": names,
        "batch_size": batch_size,
        **call,
    }
    return plan_trial(
        pipe,
        [of_pair[name] for name in names for of_pair in conditions],
        finish,
        schema="neglect",
        parameters=parameters,
        score=score,
        texts={name: of_pairs * len(names) for name, of_pairs in texts.items()},
        seeds=seeds,
        batch_size=batch_size,
        **call,
    )


def compare_excitations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[ObjectPair],
    *,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Generate pairs under the conditions of `make_conditions`, and score what the images show.

    Parameters
    ----------
    pipe, hrv, pairs, store, client, progress
        See `rate_pairs`.
    **options
        Further keywords of `plan_excitations`, such as ``with_vectors``, ``without``, ``score`` and
        ``seeds``.

    Returns
    -------
    Run
        See `rate_pairs`.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 7 of arXiv 2412.02237.

    Examples
    --------
    >>> from hrvlab.experiments.neglect import read_pairs
    >>> setting = hl.Excitation(side=0.5, thresholds={})
    >>> run = compare_excitations(
    ...     pipe, hrv, read_pairs("miniature").pairs("objects", 1), with_vectors=setting,
    ...     without=setting, score=hl.pair_score(), seeds=[0], num_inference_steps=2,
    ...     progress=False,
    ... )
    >>> dict(run.data["shown"].sizes)
    {'condition': 5, 'prompt': 1, 'seed': 1, 'object': 2}
    """
    trial = plan_excitations(pipe, hrv, pairs, **options)
    return run_trial(pipe, trial, store=store, client=client, progress=progress)


def plan_excitations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[ObjectPair],
    *,
    with_vectors: Excitation,
    without: Excitation,
    **options: Any,
) -> Trial:
    """Plan the trial that `compare_excitations` runs.

    Parameters
    ----------
    pipe, hrv, pairs
        See `plan_pairs`.
    with_vectors, without : Excitation
        Settings of A&E-HRV and of Attend-and-Excite.
    **options
        Further keywords of `plan_pairs`.

    Returns
    -------
    Trial

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError
    """
    conditions = [
        make_conditions(hrv, pair, index, with_vectors=with_vectors, without=without)
        for index, pair in enumerate(pairs)
    ]
    return plan_pairs(pipe, hrv, pairs, conditions, **options)


def try_conditions(
    pairs: Sequence[ObjectPair],
    candidates: Mapping[str, Excitation],
    weights: xr.DataArray | None,
) -> list[dict[str, Condition]]:
    """Build a condition of every setting for each pair.

    Parameters
    ----------
    pairs : sequence of ObjectPair
    candidates : mapping of str to Excitation
    weights : xarray.DataArray, dims (concept, head_position), optional
        Vectors that weight the heads; none: all heads alike.

    Returns
    -------
    list of dict of str to Condition
    """
    return [
        {name: ExcitedPair(pair, index, one, weights) for name, one in candidates.items()}
        for index, pair in enumerate(pairs)
    ]
