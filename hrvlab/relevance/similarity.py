"""How concepts, timesteps and halves of the prompts resemble each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray


def cosines(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine of every row with every other row.

    Parameters
    ----------
    rows : ndarray of float, shape (..., a, dim)
    others : ndarray of float, shape (..., b, dim)

    Returns
    -------
    ndarray of float64, shape (..., a, b)
    """
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    other = others / np.linalg.norm(others, axis=-1, keepdims=True)
    return unit @ np.swapaxes(other, -1, -2)


def mean_ranks(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give each number's rank along the last axis, lowest first; ties share their mean rank.

    Parameters
    ----------
    rows : ndarray of float, shape (..., n)

    Returns
    -------
    ndarray of float64, shape (..., n)
    """
    flat = pd.DataFrame(rows.reshape(-1, rows.shape[-1]))
    return flat.rank(axis=1).to_numpy().reshape(rows.shape)


def concept_similarity(hrv: xr.DataArray) -> xr.DataArray:
    """Cosine between the vectors of every two concepts.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, other)``.
    """
    values = hrv.transpose("concept", "head_position").values
    names = hrv["concept"].values
    return xr.DataArray(
        cosines(values, values),
        dims=("concept", "other"),
        coords={"concept": names, "other": names},
        name="cosine",
    )


def timestep_stability(by_timestep: xr.DataArray) -> xr.DataArray:
    """Cosine between each concept's vectors at every two UNet calls.

    Parameters
    ----------
    by_timestep : xarray.DataArray, dims (timestep, concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, timestep, other)``; NaN where a concept got no vote in a call.
    """
    values = by_timestep.transpose("concept", "timestep", "head_position").values
    return xr.DataArray(
        cosines(values, values),
        dims=("concept", "timestep", "other"),
        coords={"concept": by_timestep["concept"].values},
        name="cosine",
    )


def split_half_correlation(halves: xr.DataArray) -> xr.DataArray:
    """Pearson correlation of each concept's vector between two halves of the prompts.

    Parameters
    ----------
    halves : xarray.DataArray, dims (half, concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dim ``concept``.
    """
    first, second = halves.isel(half=0), halves.isel(half=1)
    return xr.corr(first, second, dim="head_position").rename("correlation")


def heads_for_half(hrv: xr.DataArray) -> xr.DataArray:
    """Count the most relevant heads that together hold half of a concept's relevance.

    Returns
    -------
    xarray.DataArray of int
        Dim ``concept``; few heads mean a concentrated concept.
    """
    values = np.sort(hrv.transpose("concept", "head_position").values, axis=-1)[:, ::-1]
    cumulative = np.cumsum(values, axis=-1)
    counts = 1 + (cumulative < cumulative[:, -1:] / 2).sum(axis=-1)
    return xr.DataArray(counts, dims="concept", coords={"concept": hrv["concept"].values})


def place_shares(hrv: xr.DataArray) -> xr.DataArray:
    """Say what part of each concept's relevance lies in the down, mid and up blocks.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, place)``; rows sum to 1.
    """
    place = hrv["place"].values
    parts = [hrv[:, place == name].sum("head_position") for name in ("down", "mid", "up")]
    together = xr.concat(parts, xr.Variable("place", ["down", "mid", "up"]))
    shares = together / together.sum("place")
    return shares.transpose("concept", "place").rename("share")


def nearest_centroid(by_timestep: xr.DataArray) -> float:
    """Tell concepts by the direction of one call's vectors alone.

    Each vector is given to the concept whose mean direction over the other calls is nearest.

    Parameters
    ----------
    by_timestep : xarray.DataArray, dims (timestep, concept, head_position)

    Returns
    -------
    float
        Share of vectors given to their own concept; by chance, one over the concepts. Vectors
        without votes count as given to another.
    """
    values = np.nan_to_num(by_timestep.transpose("timestep", "concept", "head_position").values)
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    unit = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    centroids = unit.sum(0) - unit
    centroids /= np.maximum(np.linalg.norm(centroids, axis=-1, keepdims=True), 1e-12)
    guesses = (unit @ np.swapaxes(centroids, -1, -2)).argmax(-1)
    right = (guesses == np.arange(values.shape[1])) & (norms[..., 0] > 0)
    return float(right.mean())


def shared_structure(one: xr.DataArray, other: xr.DataArray) -> float:
    """Correlate which concepts resemble each other in two models of any number of heads.

    Parameters
    ----------
    one, other : xarray.DataArray, dims (concept, head_position)
        Of the same concepts.

    Returns
    -------
    float
        Pearson correlation of the cosines of all pairs of concepts.
    """
    first, second = (
        concept_similarity(hrv.sel(concept=one["concept"])).values for hrv in (one, other)
    )
    pairs = np.triu_indices_from(first, 1)
    return float(np.corrcoef(first[pairs], second[pairs])[0, 1])
