"""Words of two senses: how often a picture shows the wrong one, and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.attention import Rescale
from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, Prompt, draw_arms, keep_result, unfold
from hrvlab.experiments.forms import Case
from hrvlab.experiments.scoring import Score, least_of, score_names
from hrvlab.experiments.steering import (
    adjusting_factors,
    concept_row,
    strengthening_factors,
)
from hrvlab.relevance.vectors import check_model
from hrvlab.typing import HeadFactors

PLAIN, ADJUSTING, REWORDED = "plain", "adjusting", "reworded"


def make_factors(
    hrv: xr.DataArray, case: Case, *, gain: float = 2.0, loss: float = 1.0, seed: int = 0
) -> dict[str, HeadFactors]:
    """Give the factors of every way to draw a case's own prompt.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : Case
    gain, loss : float
        Of adjusting.
    seed : int
        Of the shuffling.

    Returns
    -------
    dict of str to ndarray of float64, shape (head_position,)
        ``"plain"``, all 1; ``"adjusting"`` and ``"strengthening"``, the published methods;
        ``"uniform"``, every head's the root mean square of the adjusting factors; ``"shuffled
        heads"``, the adjusting factors on the wrong heads.
    """
    toward, away = (concept_row(hrv, name).values for name in (case.toward, case.away))
    adjusting = adjusting_factors(toward, away, gain=gain, loss=loss)
    rng = np.random.Generator(np.random.Philox(key=seed))
    return {
        PLAIN: np.ones_like(adjusting),
        ADJUSTING: adjusting,
        "strengthening": strengthening_factors(toward, 1.0),
        "uniform": np.full_like(adjusting, np.sqrt((adjusting**2).mean())),
        "shuffled heads": rng.permutation(adjusting),
    }


def disambiguate(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[Case],
    *,
    score: Score | Mapping[str, Score],
    store: str | Path,
    seeds: Sequence[int] = tuple(range(8)),
    gain: float = 2.0,
    loss: float = 1.0,
    window: tuple[int, int | None] = (0, None),
    others: Mapping[str, Sequence[Arm]] | None = None,
    batch_size: int = 16,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw words of two senses in several ways, and see which sense each picture shows.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of Case
        From `read_polysemy`.
    score : Score or mapping of str to Score
        Whichever sense scores higher is the one that is seen; a wanted sense below the score's
        least is not. Several are named by their witnesses.
    store : str or Path
        Keeps the pictures; a killed run resumes.
    seeds : sequence of int
        Of the initial noise.
    gain, loss : float
        Of adjusting.
    window : tuple of int or None
        UNet calls in which heads are changed.
    others : mapping of str to sequence of Arm, optional
        Further ways to draw, by name: for each case an arm of one row.
    batch_size : int
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``misread (arm, prompt, seed)`` bool, ``margin``, the wanted sense's score less the
        unwanted one's, both for several scores with the leading dim ``witness``, and ``image``. The
        arms are those of `make_factors`; ``"reworded"``, no change but a plainer prompt; and the
        others.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 5 of arXiv 2412.02237, where people judged what was misread.
    """
    if not cases:
        raise ParameterError("the list of cases is empty; give at least one")
    check_model(hrv, pipe)
    others = others or {}
    for name, of_cases in others.items():
        if [arm.rows for arm in of_cases] != [1] * len(cases):
            raise ParameterError(f"{name!r} needs an arm of one row for each of {len(cases)} cases")
    arms: list[Arm] = []
    for index, case in enumerate(cases):
        factors = make_factors(hrv, case, gain=gain, loss=loss, seed=index)
        edit = Rescale(np.stack(list(factors.values())), case.word, window)
        arms += [Prompt(case.prompt, index, edit), Prompt(case.reworded, index)]
        arms += [of_cases[index] for of_cases in others.values()]
    ways = [*factors, REWORDED, *others]
    drawn = draw_arms(
        pipe,
        arms,
        score=score,
        texts={
            sense: [getattr(case, sense) for case in cases for _ in ways]
            for sense in ("wanted", "unwanted")
        },
        store=store,
        seeds=seeds,
        batch_size=batch_size,
        progress=progress,
        **call,
    )
    least = least_of(score)
    margin = drawn["wanted"] - drawn["unwanted"]
    found = xr.Dataset(
        {
            "misread": (margin <= 0) | (drawn["wanted"] < least),
            "margin": margin,
            "image": drawn["image"],
        }
    )
    result = unfold(found, {"prompt": len(cases), "arm": len(ways)}).assign_coords(
        arm=ways,
        prompt_text=("prompt", [case.prompt for case in cases]),
        word=("prompt", [case.word for case in cases]),
        wanted=("prompt", [case.wanted for case in cases]),
        unwanted=("prompt", [case.unwanted for case in cases]),
    )
    result.encoding = drawn.encoding
    parameters = {
        "cases": [case.model_dump() for case in cases],
        "score": score_names(score),
        "gain": gain,
        "loss": loss,
        "window": list(window),
        "batch_size": batch_size,
        **call,
    }
    return keep_result(pipe, result.transpose(..., "arm", "prompt", "seed"), "polysemy", parameters)
