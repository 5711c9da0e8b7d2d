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
    return f"not clearly {less} or {more}"


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
