"""Words of two senses: how often a picture shows the wrong one, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.attention import Rescale
from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, draw_arms, rate
from hrvlab.experiments.benchmarks import Case
from hrvlab.experiments.scoring import Score
from hrvlab.experiments.steering import adjust, strengthen
from hrvlab.relevance.vectors import check_model

METHODS = ("plain", "adjusting", "strengthening", "uniform", "shuffled heads", "reworded")


def make_arms(
    hrv: xr.DataArray,
    case: Case,
    *,
    gain: float = 2.0,
    loss: float = 1.0,
    window: tuple[int, int | None] = (0, None),
    seed: int = 0,
) -> dict[str, Arm]:
    """Write down every way to draw a case.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : Case
    gain, loss : float
        Of adjusting.
    window : tuple of int or None
        UNet calls in which heads are changed.
    seed : int
        Of the shuffling.

    Returns
    -------
    dict of str to Arm
        ``"plain"``; ``"adjusting"`` and ``"strengthening"``, the published methods; ``"uniform"``,
        every head times the root mean square of the adjusting factors; ``"shuffled heads"``, the
        adjusting factors on the wrong heads; ``"reworded"``, no change but a plainer prompt.
    """
    adjusted = adjust(
        hrv,
        toward=case.toward,
        away=case.away,
        word=case.word,
        gain=gain,
        loss=loss,
        window=window,
    )
    factors, model = adjusted.factors, adjusted.model
    rng = np.random.Generator(np.random.Philox(key=seed))
    same_size = np.full_like(factors, np.sqrt((factors**2).mean()))
    return {
        "plain": Arm(case.prompt),
        "adjusting": Arm(case.prompt, adjusted),
        "strengthening": Arm(case.prompt, strengthen(hrv, case.toward, case.word, window=window)),
        "uniform": Arm(case.prompt, Rescale(same_size, case.word, window, model)),
        "shuffled heads": Arm(
            case.prompt, Rescale(rng.permutation(factors), case.word, window, model)
        ),
        "reworded": Arm(case.reworded),
    }


def disambiguate(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[Case],
    *,
    score: Score,
    store: str | Path,
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = tuple(range(8)),
    gain: float = 2.0,
    loss: float = 1.0,
    window: tuple[int, int | None] = (0, None),
    batch_size: int = 8,
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
    score : Score
        Whichever sense scores higher is the one that is seen; a wanted sense below the score's
        least is not.
    store : str or Path
        Keeps the pictures; a killed run resumes.
    methods : sequence of str
        Some of those that `make_arms` tells of.
    seeds : sequence of int
        Of the initial noise.
    gain, loss, window
        See `make_arms`.
    batch_size : int
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``misread (arm, prompt, seed)`` bool, ``margin``, the wanted sense's score less the
        unwanted one's, and ``image``.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 5 of arXiv 2412.02237, where people judged what was misread.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown or not methods or not cases:
        raise ParameterError(
            f"unknown methods {unknown}; give at least one case, and some of {', '.join(METHODS)}"
        )
    check_model(hrv, pipe)
    made = [make_arms(hrv, case, gain=gain, loss=loss, window=window) for case in cases]
    drawn = draw_arms(
        pipe,
        [arms[method] for method in methods for arms in made],
        store=store,
        seeds=seeds,
        batch_size=batch_size,
        progress=progress,
        **call,
    )
    wanted, unwanted = (
        rate(drawn, score, [getattr(case, sense) for case in cases] * len(methods))
        for sense in ("wanted", "unwanted")
    )
    shape = (len(methods), len(cases), len(seeds))
    margin = (wanted - unwanted).values.reshape(shape)
    unseen = wanted.values.reshape(shape) < score.least
    dims = ("arm", "prompt", "seed")
    result = xr.Dataset(
        {
            "misread": (dims, (margin <= 0) | unseen),
            "margin": (dims, margin),
            "image": (dims, drawn["image"].values.reshape(shape)),
        },
        {
            "arm": list(methods),
            "seed": list(seeds),
            "prompt_text": ("prompt", [case.prompt for case in cases]),
            "word": ("prompt", [case.word for case in cases]),
            "wanted": ("prompt", [case.wanted for case in cases]),
            "unwanted": ("prompt", [case.unwanted for case in cases]),
        },
    )
    result.encoding = drawn.encoding
    return result
