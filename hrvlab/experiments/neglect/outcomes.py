"""Outcomes of neglect: which objects images show, and under which condition they do it best."""

from __future__ import annotations

import numpy as np
import xarray as xr


def best_condition(found: xr.Dataset) -> str:
    """Choose the condition whose images show their worse object best, on average.

    Parameters
    ----------
    found : xarray.Dataset, dims (condition, prompt, seed, object)
        Data of a run of `rate_pairs`, by one evaluator.

    Returns
    -------
    str
        Of equally good conditions the first.

    Examples
    --------
    >>> scores = xr.DataArray(
    ...     [[[[0.9, 0.1]]], [[[0.4, 0.5]]]], {"condition": ["A&E", "A&E-HRV"]},
    ...     ("condition", "prompt", "seed", "object"),
    ... )
    >>> best_condition(xr.Dataset({"score": scores}))
    'A&E-HRV'
    """
    worse = found["score"].min("object").mean(("prompt", "seed"))
    return str(worse.idxmax("condition").item())


def count_outcomes(found: xr.Dataset) -> xr.DataArray:
    """Count the images by which of the two objects they show.

    Parameters
    ----------
    found : xarray.Dataset, dims (..., condition, prompt, seed, object)
        Data of a run of `rate_pairs`.

    Returns
    -------
    xarray.DataArray, dims (..., condition, outcome)
        Shares of each condition's images: both objects as the prompt says, both but one in a
        wrong color, the first or the second object alone, none. Images about which this is not
        known are left out.

    Examples
    --------
    >>> dims = ("condition", "prompt", "seed", "object")
    >>> shown = xr.DataArray([[[[True, True], [True, False]]]], {"condition": ["plain"]}, dims)
    >>> shares = count_outcomes(xr.Dataset({"shown": shown, "present": shown}))
    >>> shares.sel(condition="plain").to_series()[["all right", "the first alone"]].tolist()
    [0.5, 0.5]
    """
    shown, in_any_color = (found[name].astype(float) for name in ("shown", "present"))
    right = shown.min("object", skipna=False)
    present = xr.apply_ufunc(np.maximum, shown, in_any_color)
    first, second = (present.isel(object=number) for number in (0, 1))
    outcomes = {  # products of 0 and 1, so that what is not known stays NaN
        "all right": right,
        "both, a color wrong": first * second * (1 - right),
        "the first alone": first * (1 - second),
        "the second alone": second * (1 - first),
        "none": (1 - first) * (1 - second),
    }
    shares = xr.concat(list(outcomes.values()), "outcome").mean(("prompt", "seed"))
    return shares.assign_coords(outcome=list(outcomes)).transpose(..., "condition", "outcome")
