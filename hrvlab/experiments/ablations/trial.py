"""The trial of ablations: ordered weakening in several variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from hrvlab.experiments.ablations.conditions import PUBLISHED, variants
from hrvlab.experiments.runner import run_trials
from hrvlab.experiments.weakening.conditions import LEAST_FIRST
from hrvlab.experiments.weakening.trial import plan_weakening
from hrvlab.forecast import forecast_calls
from hrvlab.statistics import mean_with_interval

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.experiments.runner import Trial
    from hrvlab.storage.run import Run
    from hrvlab.typing import Prompts


def ablate(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Prompts,
    *,
    by_rule: Mapping[str, xr.DataArray],
    num_inference_steps: int,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **given: Any,
) -> dict[str, Run]:
    """Weaken heads as published, and in variants that each differ in one factor.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str
    prompts : str, Path, or iterable of str
    by_rule : mapping of str to xarray.DataArray
        Vectors built with each of `VOTING_RULES`, which order the heads instead of ``hrv``.
    num_inference_steps : int
        Enough for three denoiser calls, one for each of the three windows.
    store, client, progress
        See `hrvlab.weaken`.
    **given
        Further keywords of `hrvlab.weaken`.

    Returns
    -------
    dict of str to Run
        What `hrvlab.weaken` returns, by the name of the variant; those of voting rules begin with
        ``"by "``.

    Raises
    ------
    ConceptError, ParameterError, TokenError, ModelError, StoreError
        As `hrvlab.weaken` does.

    Examples
    --------
    >>> from hrvlab.experiments.ablations import ablate
    >>> runs = ablate(
    ...     pipe, hrv, "Color", ["a red car"], by_rule={"votes": hrv}, texts=["red"],
    ...     score=hl.judge_score(), orders=["MoRHF"], cuts=[64], num_inference_steps=3,
    ...     progress=False,
    ... )
    >>> list(runs)[:2], list(runs)[-1]
    (['published', 'factor -1'], 'by votes')
    """
    given |= {"by_rule": by_rule, "num_inference_steps": num_inference_steps}
    trials = plan_ablations(pipe, hrv, concept, prompts, **given)
    return run_trials(pipe, trials, store=store, client=client, progress=progress)


def plan_ablations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Prompts,
    *,
    by_rule: Mapping[str, xr.DataArray],
    num_inference_steps: int,
    **given: Any,
) -> Iterator[tuple[str, Trial]]:
    """Plan the trials that `ablate` runs, by the name of the variant.

    Parameters
    ----------
    pipe, hrv, concept, prompts, by_rule, num_inference_steps, **given
        See `ablate`.

    Yields
    ------
    str
    Trial
    """
    common = {**given, "num_inference_steps": num_inference_steps}
    changes = variants(forecast_calls(pipe, {"num_inference_steps": num_inference_steps}))
    for name, changed in changes.items():
        yield name, plan_weakening(pipe, hrv, concept, prompts, **{**common, **changed})
    for name, other in by_rule.items():
        yield f"by {name}", plan_weakening(pipe, other, concept, prompts, **common)


def by_variant(result: xr.Dataset) -> xr.Dataset:
    """Arrange the parts of the study by concept and variant.

    Parameters
    ----------
    result : xarray.Dataset, dims (part, ...)
        Each part is named ``"concept, variant"``.

    Returns
    -------
    xarray.Dataset
        Dims ``(concept, variant, ...)``, in the order of the parts.

    Examples
    --------
    >>> from hrvlab.experiments.ablations import by_variant
    >>> parts = ["Color, published", "Color, factor 0"]
    >>> dict(by_variant(xr.Dataset({"score": ("part", [1.0, 2.0])}, {"part": parts})).sizes)
    {'concept': 1, 'variant': 2}
    """
    pairs = [str(part).split(", ", 1) for part in result["part"].values]
    concepts, names = (list(dict.fromkeys(side)) for side in zip(*pairs, strict=True))
    index = pd.MultiIndex.from_tuples(list(map(tuple, pairs)), names=["concept", "variant"])
    laid_out = result.drop_vars("part").assign_coords(
        xr.Coordinates.from_pandas_multiindex(index, "part")
    )
    return laid_out.unstack("part").sel(concept=concepts, variant=names)


def differences(gap: xr.DataArray) -> xr.Dataset:
    """Compare the area gap to LeRHF of the published variant with that of every other variant.

    Parameters
    ----------
    gap : xarray.DataArray, dims (concept, variant, kind, prompt, seed)
        From `gaps`, by one evaluator.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low`` and ``high`` over ``condition``, the other variants: the published gap
        minus theirs, mean over concepts, with 95 % bootstrap intervals over prompts and their
        images; for `compare`.

    Examples
    --------
    >>> from hrvlab.experiments.ablations import differences
    >>> gap = xr.DataArray(
    ...     np.array([0.5, 0.2]).reshape(1, 2, 1, 1, 1),
    ...     {"variant": ["published", "factor 0"], "kind": ["LeRHF"]},
    ...     ("concept", "variant", "kind", "prompt", "seed"),
    ... )
    >>> differences(gap)["mean"].sel(condition="factor 0").round(3).item()
    0.3
    """
    of_images = gap.sel(kind=LEAST_FIRST).mean("concept")
    others = [str(name) for name in gap["variant"].values if name != PUBLISHED]
    published = of_images.sel(variant=PUBLISHED, drop=True)
    compared = mean_with_interval(published - of_images.sel(variant=others))
    return compared.rename(variant="condition")
