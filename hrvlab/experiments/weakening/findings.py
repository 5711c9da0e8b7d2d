"""Findings of ordered weakening in words, and possible reasons where a concept fails."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hrvlab.experiments.weakening.conditions import LEAST_FIRST, MOST_FIRST
from hrvlab.experiments.weakening.curves import area, by_kind
from hrvlab.scorers.base import reaches

SHOWN, CERTAIN, RELIABLE = 0.5, 0.9, 0.5
FALLS, SEPARATES = 0.1, 0.8
COUNTED = (
    "Counted are differences whose 95 % bootstrap interval over prompts and their images excludes "
    "zero."
)


def clear_concepts(gaps: xr.Dataset) -> xr.DataArray:
    """Find the concepts whose area is clearly smallest with the most relevant heads first.

    Parameters
    ----------
    gaps : xarray.Dataset, dims (..., concept, kind)
        ``low``, the lower end of each gap's interval.

    Returns
    -------
    xarray.DataArray of bool
        Dims ``(..., concept)``: whether the intervals of all its gaps lie above zero.
    """
    return (gaps["low"] > 0).all("kind")


def count_clear(gaps: xr.Dataset) -> str:
    """Count the concepts for which the vector orders heads better than every other order.

    Parameters
    ----------
    gaps : xarray.Dataset, dims (evaluator, concept, kind)
        ``low`` and ``high``: 95 % bootstrap intervals over prompts and their images, from
        `hrvlab.mean_with_interval`.

    Returns
    -------
    str
        Markdown, with an item for each evaluator.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import count_clear
    >>> dims = ("evaluator", "concept", "kind")
    >>> gaps = xr.Dataset(
    ...     {"low": (dims, [[[0.1], [-0.2]]]), "high": (dims, [[[0.3], [0.1]]])},
    ...     {"evaluator": ["judge"], "concept": ["Color", "Material"], "kind": ["LeRHF"]},
    ... )
    >>> print(count_clear(gaps))
    - **judge**: for **1 of 2** concepts the area is smaller with the most relevant heads first
      than in every other order (smaller than LeRHF for 1; larger than one of them for 0).
    <BLANKLINE>
    Counted are differences whose 95 % bootstrap interval over prompts and their images excludes
    zero.
    """
    lines = []
    for evaluator in gaps["evaluator"].values:
        one = gaps.sel(evaluator=evaluator)
        clear = clear_concepts(one)
        counts = ", ".join(
            f"smaller than {kind} for {int((one['low'].sel(kind=kind) > 0).sum())}"
            for kind in one["kind"].values
        )
        lines.append(
            f"- **{evaluator}**: for **{int(clear.sum())} of {clear.size}** concepts the area is "
            f"smaller with the most relevant heads first than in every other order ({counts}; "
            f"larger than one of them for {int((one['high'] < 0).any('kind').sum())})."
        )
    return "\n".join([*lines, "", COUNTED])


def symptoms(
    curves: xr.Dataset,
    split_half: xr.DataArray,
    reliability: xr.DataArray,
    *,
    threshold: float | None = SHOWN,
) -> xr.Dataset:
    """Measure possible reasons why the curves of a concept do not differ.

    Parameters
    ----------
    curves : xarray.Dataset, dims (concept, order, weakened, prompt, seed)
        ``score`` by one evaluator.
    split_half : xarray.DataArray, dims (concept)
        Correlation of each concept's vectors from two halves of the prompts.
    reliability : xarray.DataArray, dims (concept)
        Of the effects of single heads; concepts may be missing.
    threshold : float or None
        Score from which on an image shows its word; None for an evaluator without one.

    Returns
    -------
    xarray.Dataset
        Over ``concept``: ``plain``, the mean score of unmodified images; ``shown``, the share of
        them that reach the threshold, NaN without one; ``fall (concept, kind)``, by how much the
        mean score over the curve is lower; ``split_half``; and ``reliability``, NaN if it was not
        measured.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import symptoms
    >>> score = np.array([[[0.9, 0.1, 0.1], [0.9, 0.9, 0.1]]])[..., None, None]
    >>> orders = ["MoRHF", "LeRHF"]
    >>> curves = xr.Dataset(
    ...     {"score": (("concept", "order", "weakened", "prompt", "seed"), score)},
    ...     {"concept": ["Color"], "order": orders, "kind": ("order", orders),
    ...      "weakened": [0, 64, 128], "share": ("weakened", [0.0, 0.5, 1.0])},
    ... )
    >>> certain = xr.DataArray([0.95], {"concept": ["Color"]})
    >>> found = symptoms(curves, certain, certain)
    >>> found["fall"].sel(concept="Color", kind="MoRHF").round(3).item()
    0.6
    """
    unmodified = curves["score"].isel(order=0, drop=True).sel(weakened=0, drop=True)
    plain = unmodified.mean(("prompt", "seed"))
    shown = reaches(unmodified, threshold).mean(("prompt", "seed"))
    fall = plain - by_kind(area(curves)).mean(("prompt", "seed"))
    return xr.Dataset(
        {
            "plain": plain,
            "shown": shown,
            "fall": fall,
            "split_half": split_half.sel(concept=curves["concept"].values),
            "reliability": reliability.reindex(concept=curves["concept"].values),
        }
    )


def failures(gaps: xr.Dataset, found: xr.Dataset) -> str:
    """List the concepts for which the vector is not clearly better, with a possible reason.

    Parameters
    ----------
    gaps : xarray.Dataset, dims (concept, kind)
        ``mean``, ``low`` and ``high``, by one evaluator.
    found : xarray.Dataset, dims (concept)
        From `symptoms`.

    Returns
    -------
    str
        Markdown, with an item for each of them.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import failures
    >>> gaps = xr.Dataset(
    ...     {name: (("concept", "kind"), [[value]]) for name, value in
    ...      {"mean": 0.2, "low": 0.1, "high": 0.3}.items()},
    ...     {"concept": ["Color"], "kind": ["LeRHF"]},
    ... )
    >>> failures(gaps, found=xr.Dataset())
    'No concept fails.'
    """
    clear = clear_concepts(gaps)
    failed = [str(name) for name in clear["concept"].values[~clear.values]]
    if not failed:
        return "No concept fails."
    return "\n".join(
        f"- **{name}**: {_gaps(gaps.sel(concept=name))}. {_numbers(found.sel(concept=name))} "
        f"*{explain(found.sel(concept=name))}*"
        for name in failed
    )


def explain(one: xr.Dataset) -> str:
    """Return the first possible reason that the `symptoms` of one concept allow, in fixed order."""
    if float(one["shown"]) < SHOWN:
        return "The unmodified model seldom shows it: there is little to remove."
    if float(one["split_half"]) < CERTAIN:
        return "Its vector is uncertain: other prompts would order the heads differently."
    if float(one["fall"].max()) < FALLS * float(one["plain"]):
        return (
            "Its score hardly falls, whichever heads are weakened: the concept does not depend on "
            "cross-attention alone."
        )
    if float(one["fall"].sel(kind=LEAST_FIRST)) > SEPARATES * float(
        one["fall"].sel(kind=MOST_FIRST)
    ):
        return (
            "Its score falls almost as much with the least relevant heads first: the vector does "
            "not distinguish relevant heads from irrelevant ones."
        )
    if float(one["reliability"]) < RELIABLE:
        return "No single head matters much: single effects are within the noise of these images."
    return "None of the other reasons applies: the gaps may be too small for so few images."


def _gaps(one: xr.Dataset) -> str:
    """Describe the gaps of one concept, with their intervals."""
    return ", ".join(
        "compared with {} {:+.3f} ({:+.3f} to {:+.3f})".format(
            kind, *(float(one[name].sel(kind=kind)) for name in ("mean", "low", "high"))
        )
        for kind in one["kind"].values
    )


def _numbers(one: xr.Dataset) -> str:
    """Describe the symptoms of one concept."""
    falls = ", ".join(
        f"{float(fall):.3f} ({kind})"
        for kind, fall in zip(one["kind"].values, one["fall"].values, strict=True)
    )
    share, reliability = float(one["shown"]), float(one["reliability"])
    shown = "" if np.isnan(share) else f", and {share:.0%} of them show the word"
    effects = "not measured" if np.isnan(reliability) else f"{reliability:.2f}"
    return (
        f"Unmodified images score {float(one['plain']):.3f}{shown}; over the curve the score is "
        f"lower by {falls}; the vector's split halves correlate at "
        f"{float(one['split_half']):.2f}; reliability of the effects of single heads: {effects}."
    )
