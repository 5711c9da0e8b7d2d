"""Ways to make both of two things appear, compared by how often they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, draw_arms, rate
from hrvlab.experiments.excitation import Excitation
from hrvlab.experiments.neglect_ways import Moved, make_ways
from hrvlab.experiments.pairs import AND, Pair
from hrvlab.experiments.pictures import read_images
from hrvlab.experiments.scoring import Score
from hrvlab.relevance.vectors import check_model


def rate_ways(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    made: Sequence[Mapping[str, Arm]],
    *,
    score: Score,
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
    score : Score
        A thing is seen where it scores the score's least or more.
    store : str or Path
        Keeps the pictures; a killed run resumes.
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
        whether that is seen; ``present``, whether the thing is, of whatever color; ``image (arm,
        prompt, seed)``; ``evaluations (arm, prompt, with_gradient)``, how often the UNet ran for a
        picture, each half of a guided batch for itself.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    if not pairs:
        raise ParameterError("the list of pairs is empty; give at least one")
    check_model(hrv, pipe)
    score.check([text for pair in pairs for text in (*pair.halves, *pair.things)])
    ways = list(made[0])
    arms = [ways_of[way] for way in ways for ways_of in made]
    drawn = draw_arms(
        pipe, arms, store=store, seeds=seeds, batch_size=batch_size, progress=progress, **call
    )
    shape = (len(ways), len(pairs), len(seeds))

    def rated(texts: Sequence[tuple[str, str]]) -> xr.DataArray:
        halves = [
            rate(drawn, score, [text[half] for text in texts] * len(ways)).values.reshape(shape)
            for half in (0, 1)
        ]
        return xr.DataArray(np.stack(halves, axis=-1), dims=("arm", "prompt", "seed", "half"))

    scores = rated([pair.halves for pair in pairs])
    evaluations = drawn["evaluations"].values.reshape(*shape[:2], 2)
    result = xr.Dataset(
        {
            "score": scores,
            "shown": scores >= score.least,
            "present": rated([pair.things for pair in pairs]) >= score.least,
            "image": (("arm", "prompt", "seed"), drawn["image"].values.reshape(shape)),
            "evaluations": (("arm", "prompt", "with_gradient"), evaluations),
        },
        {
            "arm": ways,
            "seed": list(seeds),
            "with_gradient": [False, True],
            "prompt_text": ("prompt", [pair.prompt for pair in pairs]),
        },
    )
    result.encoding = drawn.encoding
    return result


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


def choose_excitation(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    candidates: Mapping[str, Excitation],
    *,
    vectors: bool,
    **options: Any,
) -> str:
    """Choose settings by what they show of pairs; no result should be of the same pairs.

    Parameters
    ----------
    pipe, hrv, pairs
        See `rate_ways`.
    candidates : dict of str to Excitation
        Such as `make_candidates` gives; of one alone nothing is drawn.
    vectors : bool
        Whether heads are weighted.
    **options
        Of `rate_ways`.

    Returns
    -------
    str
        The candidate whose worse half scores highest in the mean; of equals the first.
    """
    if len(candidates) == 1:
        return next(iter(candidates))
    made = [
        {name: Moved(pair, i, one, hrv if vectors else None) for name, one in candidates.items()}
        for i, pair in enumerate(pairs)
    ]
    tried = rate_ways(pipe, hrv, pairs, made, **options)
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
    xarray.DataArray, dims (arm, outcome)
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
    return shares.assign_coords(outcome=list(outcomes)).transpose("arm", "outcome")


def measure_similarity(found: xr.Dataset, score: Score) -> xr.Dataset:
    """Rate pictures against the whole prompt, and against its worse half.

    Parameters
    ----------
    found : xarray.Dataset
        From `rate_ways`.
    score : Score
        Such as a CLIP's.

    Returns
    -------
    xarray.Dataset
        ``full`` and ``minimum (arm, prompt, seed)``.

    Notes
    -----
    The measures of arXiv 2301.13826; halves are parted at " and ".
    """
    pictures = read_images(found, found["image"])
    prompts = np.broadcast_to(found["prompt_text"].values[:, None], found["image"].shape).ravel()
    full = score(pictures, prompts.tolist())
    halves = [score(pictures, [p.split(AND)[half] for p in prompts]) for half in (0, 1)]
    dims, shape = found["image"].dims, found["image"].shape
    return xr.Dataset(
        {
            "full": (dims, full.reshape(shape)),
            "minimum": (dims, np.minimum(*halves).reshape(shape)),
        },
        {"arm": found["arm"]},
    )
