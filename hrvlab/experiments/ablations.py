"""Ordered weakening in other ways than the published, to see what the result rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.attention import Ballot
from hrvlab.experiments.curves import with_interval
from hrvlab.experiments.sweep import SCORED
from hrvlab.experiments.weakening import LEAST_FIRST, weaken
from hrvlab.generation import count_calls

PUBLISHED = "published"
BALLOTS: Mapping[str, Ballot] = {
    "votes": Ballot(),
    "votes without the start token": Ballot(start=False),
    "attention": Ballot(mass=True),
    "attention without the start token": Ballot(mass=True, start=False),
}


def variants(calls: int) -> dict[str, dict[str, Any]]:
    """Give the ways to weaken, each as the keywords in which it differs from the published.

    Parameters
    ----------
    calls : int
        UNet calls of a picture; the windows are thirds of them.
    """
    third = calls // 3
    return {
        PUBLISHED: {},
        "factor -1": {"factor": -1.0},
        "factor 0": {"factor": 0.0},
        "factor 0.5": {"factor": 0.5},
        "concept word only": {"tokens": SCORED},
        "first third": {"window": (0, third)},
        "second third": {"window": (third, 2 * third)},
        "last third": {"window": (2 * third, None)},
    }


def ablate(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Sequence[str],
    *,
    ballots: Mapping[str, xr.DataArray],
    num_inference_steps: int,
    **given: Any,
) -> dict[str, xr.Dataset]:
    """Weaken heads in the published way, and in ways that differ from it in one thing.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str
    prompts : sequence of str
    ballots : mapping of str to xarray.DataArray
        Vectors built by each of `BALLOTS`, with which heads are ordered as with ``hrv``.
    num_inference_steps : int
    **given
        Keywords of `weaken`.

    Returns
    -------
    dict of str to xarray.Dataset
        What `weaken` gives, by the name of the variant; those of ballots are called
        ``"by …"``.
    """
    common = {**given, "num_inference_steps": num_inference_steps}
    ways = variants(count_calls(pipe, num_inference_steps))
    ablated = {
        name: weaken(pipe, hrv, concept, prompts, **{**common, **changed})
        for name, changed in ways.items()
    }
    ordered = {
        f"by {name}": weaken(pipe, other, concept, prompts, **common)
        for name, other in ballots.items()
    }
    return ablated | ordered


def by_variant(result: xr.Dataset) -> xr.Dataset:
    """Lay the parts of an ablation out by concept and variant.

    Parameters
    ----------
    result : xarray.Dataset, dims (part, ...)
        Each part named ``"concept, variant"``.

    Returns
    -------
    xarray.Dataset
        Dims ``(concept, variant, ...)``, in the order of the parts.
    """
    pairs = [str(part).split(", ", 1) for part in result["part"].values]
    concepts, names = (list(dict.fromkeys(side)) for side in zip(*pairs, strict=True))
    places = pd.MultiIndex.from_tuples(list(map(tuple, pairs)), names=["concept", "variant"])
    laid_out = result.drop_vars("part").assign_coords(
        xr.Coordinates.from_pandas_multiindex(places, "part")
    )
    return laid_out.unstack("part").sel(concept=concepts, variant=names)


def differences(gap: xr.DataArray) -> xr.Dataset:
    """Compare every variant's area gap to LeRHF with the published variant's, over all concepts.

    Parameters
    ----------
    gap : xarray.DataArray, dims (concept, variant, kind, prompt, seed)
        From `hrvlab.experiments.curves.gaps`, by one witness.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low`` and ``high`` over ``arm``, the variants: the published gap less theirs,
        for `hrvlab.experiments.verdicts.compare`.
    """
    of_pictures = gap.sel(kind=LEAST_FIRST).mean("concept")
    others = [str(name) for name in gap["variant"].values if name != PUBLISHED]
    published = of_pictures.sel(variant=PUBLISHED, drop=True)
    return with_interval(published - of_pictures.sel(variant=others)).rename(variant="arm")
