"""Findings of disambiguation in words: which text states carry a word's sense."""

from __future__ import annotations

import xarray as xr

from hrvlab.experiments.findings import verdict


def what_decides(rates: xr.DataArray, difference: xr.Dataset) -> str:
    """Describe whether a word's sense lies in its own text state or in those of the end.

    Parameters
    ----------
    rates : xarray.DataArray, dims (condition)
        Shares misread: ``"plain"``, ``"word swapped"``, ``"end swapped"`` and
        ``"word and end swapped"``.
    difference : xarray.Dataset
        ``mean``, ``low`` and ``high`` of the share misread with the word's state swapped less that
        with the end's.

    Returns
    -------
    str
        Markdown.

    Examples
    --------
    >>> names = ["plain", "word swapped", "end swapped", "word and end swapped"]
    >>> rates = xr.DataArray([0.6, 0.5, 0.2, 0.1], {"condition": names}, "condition")
    >>> difference = xr.Dataset({"mean": 0.3, "low": 0.1, "high": 0.5})
    >>> what_decides(rates, difference).partition(". ")[0]
    'The untouched prompt is misread in 60% of its images'
    """
    found = verdict(
        float(difference["low"]),
        float(difference["high"]),
        less="most of the sense lies in the word's own state, which its attention can bring out",
        more="most of the sense lies in the states of the end token and the padding, which "
        "rescaling the word's attention does not act on",
    )
    if found.startswith("neither clearly"):
        found = "it is unclear which of the two carries the sense"
    plain, word, end, both = (
        f"{float(rates.sel(condition=condition)):.0%}"
        for condition in ("plain", "word swapped", "end swapped", "word and end swapped")
    )
    return (
        f"The untouched prompt is misread in {plain} of its images. With the plainer prompt's "
        f"state in place of the word's own it is {word}; with the plainer prompt's states of the "
        f"end token and the padding, {end}; with both, {both}. So {found}."
    )
