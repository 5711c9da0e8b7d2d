"""Areas under weakening curves, and gaps between orders."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hrvlab.experiments.weakening.conditions import MOST_FIRST


def area(curves: xr.Dataset) -> xr.DataArray:
    """Integrate each score curve over the share of weakened heads, by trapezoids.

    Parameters
    ----------
    curves : xarray.Dataset
        From `weaken`.

    Returns
    -------
    xarray.DataArray
        Dims ``(..., order, prompt, seed)``, in the unit of the score: the area under a constant
        curve is its score.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import area
    >>> curves = xr.Dataset(
    ...     {"score": (("order", "weakened", "prompt", "seed"), [[[[0.9]], [[0.1]]]])},
    ...     {"share": ("weakened", [0.0, 1.0])},
    ... )
    >>> area(curves).values.tolist()
    [[[0.5]]]
    """
    score = curves["score"].transpose(..., "order", "prompt", "seed", "weakened")
    values = np.trapezoid(score.values, curves["share"].values, axis=-1)
    return xr.DataArray(values, dims=score.dims[:-1], coords=_without(curves, "weakened"))


def by_kind(array: xr.DataArray) -> xr.DataArray:
    """Average over the random orders.

    Parameters
    ----------
    array : xarray.DataArray, dims (order, ...)
        With the coordinate ``kind (order)``.

    Returns
    -------
    xarray.DataArray
        Dims ``(kind, ...)``.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import by_kind
    >>> kinds = {"kind": ("order", ["MoRHF", "random", "random"])}
    >>> by_kind(xr.DataArray([0.2, 0.4, 0.6], kinds, "order")).values.tolist()
    [0.2, 0.5]
    """
    return array.groupby("kind").mean("order")


def gaps(curves: xr.Dataset) -> xr.DataArray:
    """Compute how much smaller the area is when the most relevant heads are weakened first.

    Parameters
    ----------
    curves : xarray.Dataset
        From `weaken`, with the order MoRHF and at least one other.

    Returns
    -------
    xarray.DataArray
        Dims ``(kind, ..., prompt, seed)``: area of each other kind of order minus that of MoRHF;
        positive where the vector orders heads better.

    Examples
    --------
    >>> from hrvlab.experiments.weakening import gaps
    >>> scores = [[[[0.9]], [[0.1]], [[0.1]]], [[[0.9]], [[0.9]], [[0.1]]]]
    >>> orders = ["MoRHF", "LeRHF"]
    >>> curves = xr.Dataset(
    ...     {"score": (("order", "weakened", "prompt", "seed"), scores)},
    ...     {"order": orders, "kind": ("order", orders), "share": ("weakened", [0.0, 0.5, 1.0])},
    ... )
    >>> gaps(curves).sel(kind="LeRHF").values.round(3).tolist()
    [[0.4]]
    """
    areas = by_kind(area(curves))
    others = [kind for kind in areas["kind"].values if kind != MOST_FIRST]
    return areas.sel(kind=others) - areas.sel(kind=MOST_FIRST, drop=True)


def _without(dataset: xr.Dataset, dim: str) -> dict[str, xr.DataArray]:
    """Return the coordinates that do not have a dim."""
    return {str(name): coord for name, coord in dataset.coords.items() if dim not in coord.dims}
