"""Say in words what a comparison found, and no more than its intervals allow."""

from __future__ import annotations

import xarray as xr


def verdict(low: float, high: float, *, less: str, more: str) -> str:
    """Give the word for an interval of a difference.

    Parameters
    ----------
    low, high : float
    less, more : str
        Said of an interval below and above zero.
    """
    if high < 0:
        return less
    if low > 0:
        return more
    return f"neither clearly {less} nor clearly {more}"


def compare(differences: xr.Dataset, subject: str, *, less: str, more: str) -> str:
    """Write a sentence for every arm that another was compared with, as Markdown.

    Parameters
    ----------
    differences : xarray.Dataset, dims (arm,)
        ``mean``, ``low`` and ``high`` of the subject's rate less each arm's.
    subject : str
        Begins every sentence, such as ``"Adjusting misreads"``.
    less, more : str
        What it means to have the lower and the higher rate, such as ``"less often"``.

    Returns
    -------
    str
        A list with an item for each arm.
    """
    lines = []
    for arm in (str(arm) for arm in differences["arm"].values):
        mean, low, high = (
            float(differences.sel(arm=arm)[name]) for name in ("mean", "low", "high")
        )
        word = verdict(low, high, less=less, more=more)
        lines.append(
            f"- {subject} **{word}** than *{arm}*: by {100 * mean:+.1f} points, "
            f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}."
        )
    return "\n".join(lines)


def where_it_helps(differences: xr.DataArray, subject: str, other: str) -> str:
    """Say for which cases a rate of failures fell, stayed and rose, as Markdown.

    Parameters
    ----------
    differences : xarray.DataArray, dims (case,)
        The subject's rate of failures less the other arm's, with labels.
    subject, other : str

    Returns
    -------
    str
        One sentence; of the three kinds, those that there are.
    """
    kinds = {"less often for": differences < 0, "more often for": differences > 0}
    parts = [
        f"**{kind}** {', '.join(_with_points(differences[which.values]))}"
        for kind, which in kinds.items()
        if which.any()
    ]
    if equal := int((differences == 0).sum()):
        parts.append(f"**just as often for** {equal} of {differences.size}")
    return f"{subject} fails, against *{other}*, {'; '.join(parts)}."


def _with_points(differences: xr.DataArray) -> list[str]:
    """Name cases with their differences in points, the smallest first."""
    ordered = differences.sortby(differences)
    return [
        f"*{case}* ({100 * value:+.0f})"
        for case, value in zip(ordered["case"].values, ordered.values, strict=True)
    ]


def what_decides(rates: xr.DataArray, difference: xr.Dataset) -> str:
    """Say whether a word's sense lies in its own text state or in those of the end.

    Parameters
    ----------
    rates : xarray.DataArray, dims (arm,)
        Shares misread: ``"plain"``, ``"word swapped"``, ``"end swapped"`` and
        ``"word and end swapped"``.
    difference : xarray.Dataset
        ``mean``, ``low`` and ``high`` of the share misread with the word's state swapped less that
        with the end's.
    """
    found = verdict(
        float(difference["low"]),
        float(difference["high"]),
        less="most of the sense lies in the word's own state, which its attention can bring out",
        more="most of the sense lies in the states of the end token and the padding, to which "
        "nothing changes when the word's attention is rescaled",
    )
    if found.startswith("neither clearly"):
        found = "neither clearly decides the sense by itself"
    plain, word, end, both = (
        f"{float(rates.sel(arm=arm)):.0%}"
        for arm in ("plain", "word swapped", "end swapped", "word and end swapped")
    )
    return (
        f"The untouched prompt is misread in {plain} of its pictures. With the plainer prompt's "
        f"state in place of the word's own it is {word}; with its states of the end token and the "
        f"padding, {end}; with both, {both}. So {found}."
    )
