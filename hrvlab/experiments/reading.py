"""Say what ordered weakening found, and look into the concepts where it failed."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hrvlab.experiments.curves import area, by_kind

SEEN = 0.5
ALIKE = 0.9
RELIABLE = 0.5


def clear_concepts(gaps: xr.Dataset) -> xr.DataArray:
    """Tell for which concepts the area is smallest when the most relevant heads go first.

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
    """Say for how many concepts the vector orders heads better than any other order.

    Parameters
    ----------
    gaps : xarray.Dataset, dims (witness, concept, kind)

    Returns
    -------
    str
        Markdown, with an item for each witness.
    """
    lines = []
    for witness in gaps["witness"].values:
        one = gaps.sel(witness=witness)
        clear = clear_concepts(one)
        counts = ", ".join(
            f"below {kind} for {int((one['low'].sel(kind=kind) > 0).sum())}"
            for kind in one["kind"].values
        )
        lines.append(
            f"- **{witness}**: for **{int(clear.sum())} of {clear.size}** concepts the area is "
            f"smaller with the most relevant heads first than in every other order, with 95 % "
            f"intervals that leave zero out ({counts}; clearly *above* one of them for "
            f"{int((one['high'] < 0).any('kind').sum())})."
        )
    return "\n".join(lines)


def symptoms(
    curves: xr.Dataset, halves: xr.DataArray, reliable: xr.DataArray, *, least: float = SEEN
) -> xr.Dataset:
    """Measure what may explain that a concept's curves do not differ.

    Parameters
    ----------
    curves : xarray.Dataset, dims (concept, order, weakened, prompt, seed)
        ``score`` by one witness.
    halves : xarray.DataArray, dims (concept)
        Correlation of its vector between two halves of the prompts.
    reliable : xarray.DataArray, dims (concept)
        Of the effects of single heads; concepts may be missing.
    least : float or None
        Score from which on a picture shows its word; None if the witness only compares.

    Returns
    -------
    xarray.Dataset
        Over ``concept``: ``plain``, the mean score of untouched pictures; ``seen``, the share of
        them with at least the least score, NaN without one; ``fall (concept, kind)``, by how much
        the score lies lower, on average over the curve; ``halves``; ``reliable``, NaN if not
        measured.
    """
    untouched = curves["score"].isel(order=0, drop=True).sel(weakened=0, drop=True)
    plain = untouched.mean(("prompt", "seed"))
    seen = (untouched >= least).mean(("prompt", "seed")) if least is not None else plain * np.nan
    fall = plain - by_kind(area(curves)).mean(("prompt", "seed"))
    return xr.Dataset(
        {
            "plain": plain,
            "seen": seen,
            "fall": fall,
            "halves": halves.sel(concept=curves["concept"].values),
            "reliable": reliable.reindex(concept=curves["concept"].values),
        }
    )


def failures(gaps: xr.Dataset, found: xr.Dataset) -> str:
    """Name every concept where the vector is not clearly better, and what may explain it.

    Parameters
    ----------
    gaps : xarray.Dataset, dims (concept, kind)
        ``mean``, ``low`` and ``high``, by one witness.
    found : xarray.Dataset, dims (concept)
        From `symptoms`.

    Returns
    -------
    str
        Markdown, with an item for each of them.
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
    """Give the first explanation that one concept's `symptoms` allow, in a fixed order."""
    if float(one["seen"]) < SEEN:
        return "The untouched model seldom shows it: there is little to take away."
    if float(one["halves"]) < ALIKE:
        return "Its vector is uncertain: other prompts would order the heads otherwise."
    if float(one["fall"].max()) < 0.1 * float(one["plain"]):
        return "It hardly goes, whatever heads are weakened: it is not carried by attention alone."
    least_first = float(one["fall"].sel(kind="LeRHF"))
    if least_first > 0.8 * float(one["fall"].sel(kind="MoRHF")):
        return "It goes as soon with the least relevant heads: the vector does not tell them apart."
    if float(one["reliable"]) < RELIABLE:
        return "No single head matters much: what they do is within the noise of these pictures."
    return "The gaps are there, but too small for these few pictures."


def _gaps(one: xr.Dataset) -> str:
    return ", ".join(
        "against {} {:+.3f} ({:+.3f} to {:+.3f})".format(
            kind, *(float(one[name].sel(kind=kind)) for name in ("mean", "low", "high"))
        )
        for kind in one["kind"].values
    )


def _numbers(one: xr.Dataset) -> str:
    falls = ", ".join(
        f"{float(fall):.3f} ({kind})"
        for kind, fall in zip(one["kind"].values, one["fall"].values, strict=True)
    )
    seen, reliable = float(one["seen"]), float(one["reliable"])
    shown = "" if np.isnan(seen) else f", {seen:.0%} of them show the word"
    effects = "not measured" if np.isnan(reliable) else f"{reliable:.2f}"
    return (
        f"Untouched pictures score {float(one['plain']):.3f}{shown}; over the curve the score lies "
        f"lower by {falls}; the vector's halves agree at "
        f"{float(one['halves']):.2f}; reliability of single heads' effects: {effects}."
    )
