"""Ways to replace a word, compared by what they reach and what they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from hrvlab.capture import capture
from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, Drawing, Prompt, draw_arms, keep_result, unfold
from hrvlab.experiments.editing_ways import make_ways
from hrvlab.experiments.forms import Replacement
from hrvlab.experiments.scoring import Score, score_names
from hrvlab.generation import initial_noise
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.vectors import check_model
from hrvlab.typing import Images


@dataclass(frozen=True)
class Source:
    """A case's source picture, and where in it the thing is not.

    Parameters
    ----------
    case : Replacement
    index : int
        The noise derives from it and the seed.
    """

    case: Replacement
    index: int
    _seen: dict[tuple[int, ...], tuple[Images, NDArray[np.float32]]] = field(default_factory=dict)

    def look(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], **call: Any
    ) -> tuple[Images, NDArray[np.float32]]:
        """Draw it, once for all ways to edit it.

        Returns
        -------
        images : ndarray of uint8, shape (seed, y, x, channel)
        outside : ndarray of float32, shape (seed, y, x)
            Weights, large where the attention to the thing is weak.
        """
        if tuple(seeds) not in self._seen:
            tree = capture(
                pipe,
                [self.case.source] * len(seeds),
                maps=[self.case.noun],
                latents=initial_noise(pipe, seeds, self.index),
                progress=False,
                **call,
            )
            images = tree.to_dataset()["image"].values
            finest = max(tree.children, key=lambda name: tree[name].sizes["map_y"])
            maps = tree[finest].to_dataset()["maps"]
            attention = maps.mean(("timestep", "map_layer", "head", "map_word")).values
            shares = (attention / attention.max((1, 2), keepdims=True)).astype(np.float32)
            size = images.shape[2:0:-1]
            resized = [Image.fromarray(s).resize(size, Image.Resampling.BILINEAR) for s in shares]
            self._seen[tuple(seeds)] = images, 1 - np.stack([np.asarray(one) for one in resized])
        return self._seen[tuple(seeds)]


@dataclass(frozen=True)
class Beside:
    """A way to edit, measured beside the source picture.

    Parameters
    ----------
    arm : Arm
        Of one row.
    source : Source
    """

    arm: Arm
    source: Source

    @property
    def rows(self) -> int:
        """It has as many rows as its arm."""
        return self.arm.rows

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures and their measure, as JSON."""
        case = self.source.case
        return {**self.arm.plan(), "beside": case.source, "noun": case.noun}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if it cannot be drawn."""
        self.arm.check(pipe)

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Drawing:
        """Draw it, and measure how far it moved."""
        after = self.arm.draw(pipe, seeds, batch_size=batch_size, **call).images
        before, outside = self.source.look(pipe, seeds, batch_size=batch_size, **call)
        return Drawing(after, {"moved": distance_outside(before, after, outside)})


def rate_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[Replacement],
    made: Sequence[Mapping[str, Arm]],
    *,
    score: Score | Mapping[str, Score],
    store: str | Path,
    seeds: Sequence[int] = tuple(range(8)),
    batch_size: int = 16,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Replace words in several ways, and rate what was reached against what was kept.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of Replacement
        From `hrvlab.experiments.benchmarks.read_editing`.
    made : sequence of dict of str to Arm
        For each case the same ways, from `hrvlab.experiments.editing_ways` or of one's own.
    score : Score or mapping of str to Score
        One, or several by the names of their witnesses.
    store : str or Path
        Keeps ratings and pictures; a killed run resumes.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``reached (arm, prompt, seed)``, the score of what was wanted; ``kept``, that of the thing
        that should have stayed, both for several scores with the leading dim ``witness``;
        ``moved``, how far the picture outside the thing moved from the source picture, 0 to 1;
        ``image``; and ``source_image (prompt, seed)``.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Outside the thing is where the source's cross-attention to it is weak.
    """
    if not cases:
        raise ParameterError("the list of cases is empty; give at least one")
    check_model(hrv, pipe)
    for case in cases:
        word_columns(pipe.tokenizer, case.source, case.noun)
    sources = [Source(case, index) for index, case in enumerate(cases)]
    ways = list(made[0])
    rows = [[of[way] for of in made] for way in ways]
    rows.append([Prompt(case.source, index) for index, case in enumerate(cases)])
    arms = [Beside(arm, source) for row in rows for arm, source in zip(row, sources, strict=True)]
    drawn = draw_arms(
        pipe,
        arms,
        score=score,
        texts={
            "reached": [case.wanted for case in cases] * len(rows),
            "kept": [case.thing for case in cases] * len(rows),
        },
        store=store,
        seeds=seeds,
        batch_size=batch_size,
        progress=progress,
        **call,
    )
    found = unfold(drawn, {"arm": len(rows), "prompt": len(cases)})
    result = found.isel(arm=slice(len(ways))).assign_coords(
        arm=ways,
        prompt_text=("prompt", [case.source for case in cases]),
        target_text=("prompt", [case.target for case in cases]),
        concept=("prompt", [case.concept for case in cases]),
    )
    result["source_image"] = found["image"].isel(arm=len(ways), drop=True)
    result.encoding = drawn.encoding
    parameters = {
        "cases": [case.model_dump() for case in cases],
        "score": score_names(score),
        "ways": ways,
        "batch_size": batch_size,
        **call,
    }
    return keep_result(pipe, result.transpose(..., "arm", "prompt", "seed"), "editing", parameters)


def compare_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[Replacement],
    *,
    strengths: Sequence[float] = (),
    **options: Any,
) -> xr.Dataset:
    """Replace words in every way of `hrvlab.experiments.editing_ways.make_ways`.

    Parameters
    ----------
    pipe, hrv, cases
        See `rate_edits`.
    strengths : sequence of float
        Of the vector, more than 0 and 1.
    **options
        Of `rate_edits`.

    Returns
    -------
    xarray.Dataset
        See `rate_edits`.

    Notes
    -----
    Section 6 of arXiv 2412.02237.
    """
    made = [make_ways(hrv, case, i, strengths=strengths) for i, case in enumerate(cases)]
    return rate_edits(pipe, hrv, cases, made, **options)


def distance_outside(
    before: Images, after: Images, outside: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Give the mean absolute difference of pictures, weighted by place.

    Parameters
    ----------
    before, after : ndarray of uint8, shape (image, y, x, channel)
    outside : ndarray of float, shape (image, y, x)
        Weights.

    Returns
    -------
    ndarray of float64, shape (image,)
        0 for equal pictures, 1 for black and white.
    """
    difference = np.abs(before.astype(np.float64) - after).mean(-1) / 255
    return (difference * outside).sum((1, 2)) / outside.sum((1, 2))
