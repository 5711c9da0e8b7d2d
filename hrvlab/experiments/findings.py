"""State in words what a comparison found, and no more than its intervals allow."""

from __future__ import annotations

import xarray as xr


def verdict(low: float, high: float, *, less: str, more: str) -> str:
    """Return the words that the interval of a difference allows.

    Parameters
    ----------
    low, high : float
        Ends of the interval.
    less, more : str
        For intervals that lie below and above zero.

    Returns
    -------
    str
        One of the two, or that neither is clear if the interval contains zero.
    """
    if high < 0:
        return less
    if low > 0:
        return more
    return f"neither clearly {less} nor clearly {more}"


def compare(differences: xr.Dataset, subject: str, *, less: str, more: str) -> str:
    """Describe the difference from every condition in a sentence, as Markdown.

    Parameters
    ----------
    differences : xarray.Dataset, dims (condition,)
        ``mean``, ``low`` and ``high`` of the subject's rate minus that of each condition, in
        [-1, 1].
    subject : str
        Begins every sentence, such as ``"Adjusting misreads"``.
    less, more : str
        What a lower and a higher rate mean, such as ``"less often"``.

    Returns
    -------
    str
        A list with an item for each condition; differences are in percentage points, without
        their sign where the words state the direction.

    Examples
    --------
    >>> from hrvlab.experiments.ablations import compare
    >>> differences = xr.Dataset(
    ...     {name: ("condition", [value]) for name, value in
    ...      {"mean": -0.25, "low": -0.4, "high": -0.1}.items()},
    ...     {"condition": ["plain"]},
    ... )
    >>> print(compare(differences, "Adjusting misreads", less="less often", more="more often"))
    - Adjusting misreads **less often** than *plain*: by 25.0 points,
      95 % interval 10.0 to 40.0.
    """
    lines = []
    for condition in (str(condition) for condition in differences["condition"].values):
        mean, low, high = (
            float(differences.sel(condition=condition)[name]) for name in ("mean", "low", "high")
        )
        words = verdict(low, high, less=less, more=more)
        lines.append(f"- {subject} **{words}** than *{condition}*: by {_points(mean, low, high)}.")
    return "\n".join(lines)


def where_it_helps(differences: xr.DataArray, subject: str, other: str) -> str:
    """Describe for which cases the rate of failures fell, stayed the same and rose, as Markdown.

    Parameters
    ----------
    differences : xarray.DataArray, dims (case,)
        The subject's rate of failures minus that of the other condition, with labels.
    subject, other : str
        Names of the two conditions.

    Returns
    -------
    str
        One sentence; groups without cases are left out.

    Examples
    --------
    >>> from hrvlab.experiments.disambiguation import where_it_helps
    >>> differences = xr.DataArray([-0.25, 0.125, 0.0], {"case": ["bat", "nut", "bow"]}, "case")
    >>> print(where_it_helps(differences, "Adjusting", "plain"))
    Adjusting fails, compared with *plain*, **less often for** *bat* (-25);
    **more often for** *nut* (+12); **just as often for** 1 of 3.
    """
    groups = {"less often for": differences < 0, "more often for": differences > 0}
    parts = [
        f"**{words}** {', '.join(_with_points(differences[which.values]))}"
        for words, which in groups.items()
        if which.any()
    ]
    if equal := int((differences == 0).sum()):
        parts.append(f"**just as often for** {equal} of {differences.size}")
    return f"{subject} fails, compared with *{other}*, {'; '.join(parts)}."


def _points(mean: float, low: float, high: float) -> str:
    """Format a difference in percentage points, signed only if its interval contains zero."""
    if high < 0:
        mean, low, high = -mean, -high, -low
    sign = "-" if low > 0 else "+"
    by, begin, end = (f"{100 * value:{sign}.1f}" for value in (mean, low, high))
    return f"{by} points, 95 % interval {begin} to {end}"


def _with_points(differences: xr.DataArray) -> list[str]:
    """Name cases with their differences in percentage points, the smallest first."""
    ordered = differences.sortby(differences)
    return [
        f"*{case}* ({100 * value:+.0f})"
        for case, value in zip(ordered["case"].values, ordered.values, strict=True)
    ]
