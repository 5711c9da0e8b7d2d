"""Ways to make both of two things appear, compared by how often they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, draw_arms, keep_result, unfold
from hrvlab.experiments.excitation import Excitation
from hrvlab.experiments.neglect_ways import Moved, make_ways
from hrvlab.experiments.pairs import Pair
from hrvlab.experiments.scoring import Score, least_of, score_names
from hrvlab.relevance.vectors import check_model


def rate_ways(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    made: Sequence[Mapping[str, Arm]],
    *,
    score: Score | Mapping[str, Score],
    store: str | Path,
    seeds: Sequence[int] = tuple(range(8)),
    batch_size: int = 8,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw pairs in several ways, and see which of their things are there.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    pairs : sequence of Pair
    made : sequence of dict of str to Arm
        For each pair the same ways, from `make_ways` or of one's own.
    score : Score or mapping of str to Score
        A thing is seen where it scores the score's least or more; one, or several by the names of
        their witnesses.
    store : str or Path
        Keeps ratings and pictures; a killed run resumes.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
        Pictures of a pair that go through the model together.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``score (arm, prompt, seed, half)``, of what the prompt says of each thing; ``shown``,
        whether that is seen; ``present``, whether the thing is, of whatever color; and ``whole
        (arm, prompt, seed)``, the whole prompt's score: all for several scores with the leading
        dim ``witness``. ``passes (arm, prompt, seed)``, how often the UNet ran with gradients; and
        ``image``.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    if not pairs:
        raise ParameterError("the list of pairs is empty; give at least one")
    check_model(hrv, pipe)
    ways = list(made[0])
    texts = {
        "whole": [pair.prompt for pair in pairs],
        "first": [pair.halves[0] for pair in pairs],
        "second": [pair.halves[1] for pair in pairs],
        "first thing": [pair.things[0] for pair in pairs],
        "second thing": [pair.things[1] for pair in pairs],
    }
    drawn = draw_arms(
        pipe,
        [ways_of[way] for way in ways for ways_of in made],
        score=score,
        texts={name: of_pairs * len(ways) for name, of_pairs in texts.items()},
        store=store,
        seeds=seeds,
        batch_size=batch_size,
        progress=progress,
        **call,
    )
    found = unfold(drawn, {"arm": len(ways), "prompt": len(pairs)}).assign_coords(
        arm=ways, prompt_text=("prompt", texts["whole"])
    )
    least = least_of(score)
    scores = xr.concat([found["first"], found["second"]], "half")
    things = xr.concat([found["first thing"], found["second thing"]], "half")
    result = found[["whole", "passes", "image"]].assign(
        score=scores, shown=scores >= least, present=things >= least
    )
    parameters = {
        "pairs": [asdict(pair) for pair in pairs],
        "score": score_names(score),
        "batch_size": batch_size,
        **call,
    }
    ordered = result.transpose(..., "arm", "prompt", "seed", "half", missing_dims="ignore")
    ordered.encoding = drawn.encoding
    return keep_result(pipe, ordered, "neglect", parameters)


def compare_excitations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    *,
    with_vectors: Excitation,
    without: Excitation,
    **options: Any,
) -> xr.Dataset:
    """Draw pairs in every way of `make_ways`, and see which of their things are there.

    Parameters
    ----------
    pipe, hrv, pairs
        See `rate_ways`.
    with_vectors, without : Excitation
        Settings of A&E-HRV and of Attend-and-Excite.
    **options
        Of `rate_ways`.

    Returns
    -------
    xarray.Dataset
        See `rate_ways`.

    Notes
    -----
    Section 7 of arXiv 2412.02237.
    """
    made = [
        make_ways(hrv, pair, index, with_vectors=with_vectors, without=without)
        for index, pair in enumerate(pairs)
    ]
    return rate_ways(pipe, hrv, pairs, made, **options)


def try_excitations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    candidates: Mapping[str, Excitation],
    *,
    vectors: bool,
    **options: Any,
) -> xr.Dataset:
    """Draw pairs with several settings; no result should be of the same pairs.

    Parameters
    ----------
    pipe, hrv, pairs
        See `rate_ways`.
    candidates : dict of str to Excitation
        Such as `make_candidates` gives.
    vectors : bool
        Whether heads are weighted.
    **options
        Of `rate_ways`.

    Returns
    -------
    xarray.Dataset
        See `rate_ways`; an arm for each candidate.
    """
    made = [
        {name: Moved(pair, i, one, hrv if vectors else None) for name, one in candidates.items()}
        for i, pair in enumerate(pairs)
    ]
    return rate_ways(pipe, hrv, pairs, made, **options)


def likeliest(tried: xr.Dataset) -> str:
    """Name the arm whose worse half scores highest in the mean; of equals the first.

    Parameters
    ----------
    tried : xarray.Dataset
        From `rate_ways`, as one witness sees it.
    """
    worse = tried["score"].min("half").mean(("prompt", "seed"))
    return str(worse.idxmax("arm").item())


def count_outcomes(found: xr.Dataset) -> xr.DataArray:
    """Sort pictures by what is wrong with them.

    Parameters
    ----------
    found : xarray.Dataset
        From `rate_ways`.

    Returns
    -------
    xarray.DataArray, dims (..., arm, outcome)
        Shares of each arm's pictures: all right, both things but a color wrong, the first or the
        second thing alone, none.
    """
    right, present = found["shown"].all("half"), found["present"] | found["shown"]
    first, second = (present.isel(half=half) for half in (0, 1))
    outcomes = {
        "all right": right,
        "both, a color wrong": first & second & ~right,
        "the first alone": first & ~second,
        "the second alone": second & ~first,
        "none": ~first & ~second,
    }
    shares = xr.concat(list(outcomes.values()), "outcome").mean(("prompt", "seed"))
    return shares.assign_coords(outcome=list(outcomes)).transpose(..., "arm", "outcome")
