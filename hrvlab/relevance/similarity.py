"""How similar the vectors of concepts, denoiser calls and halves of the prompts are."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.statistics import correlation


def cosines(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the cosine between every row and every other row.

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


def concept_similarity(hrv: xr.DataArray) -> xr.DataArray:
    """Compute the cosine between the vectors of every two concepts.

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
    """Compute the cosine between each concept's vectors at every two denoiser calls.

    Parameters
    ----------
    by_timestep : xarray.DataArray, dims (timestep, concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, timestep, other)``; NaN where a concept received no vote in a call.
    """
    values = by_timestep.transpose("concept", "timestep", "head_position").values
    return xr.DataArray(
        cosines(values, values),
        dims=("concept", "timestep", "other"),
        coords={"concept": by_timestep["concept"].values},
        name="cosine",
    )


def split_half_correlation(by_half: xr.DataArray) -> xr.DataArray:
    """Compute the Pearson correlation of each concept's vectors from two halves of the prompts.

    Parameters
    ----------
    by_half : xarray.DataArray, dims (half, concept, head_position)
        From `hrvlab.relevance.vectors.relevance_by_half`.

    Returns
    -------
    xarray.DataArray
        Dim ``concept``; NaN where a concept received no vote in a half.
    """
    first, second = by_half.isel(half=0), by_half.isel(half=1)
    found = xr.apply_ufunc(
        correlation, first, second, input_core_dims=[["head_position"], ["head_position"]]
    )
    return found.rename("correlation")


def heads_for_half(hrv: xr.DataArray) -> xr.DataArray:
    """Count the most relevant heads that together hold half of a concept's relevance.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.DataArray of int
        Dim ``concept``; a small number means that the concept is concentrated in few heads.
    """
    values = np.sort(hrv.transpose("concept", "head_position").values, axis=-1)[:, ::-1]
    cumulative = np.cumsum(values, axis=-1)
    counts = 1 + (cumulative < cumulative[:, -1:] / 2).sum(axis=-1)
    return xr.DataArray(counts, dims="concept", coords={"concept": hrv["concept"].values})


def block_shares(hrv: xr.DataArray) -> xr.DataArray:
    """Compute the share of each concept's relevance in the down, mid and up blocks.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, block)``; rows sum to 1.
    """
    names = ["down", "mid", "up"]
    block = hrv["block"].values
    sums = [hrv[:, block == name].sum("head_position") for name in names]
    together = xr.concat(sums, xr.Variable("block", names))
    shares = together / together.sum("block")
    return shares.transpose("concept", "block").rename("share")


def nearest_centroid(by_timestep: xr.DataArray) -> float:
    """Compute how often a concept can be recognized by its vector at a single denoiser call.

    Each vector is assigned to the concept whose mean direction over the other calls is nearest.

    Parameters
    ----------
    by_timestep : xarray.DataArray, dims (timestep, concept, head_position)

    Returns
    -------
    float
        Share of vectors that are assigned to their own concept; 1 / concepts is expected by
        chance. A vector without votes counts as assigned to another concept.
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
    """Compute how far two models agree about which concepts are similar.

    Parameters
    ----------
    one, other : xarray.DataArray, dims (concept, head_position)
        Vectors of the same concepts; the models may differ in their numbers of heads.

    Returns
    -------
    float
        Pearson correlation between the models' cosines of all pairs of concepts.
    """
    first, second = (
        concept_similarity(hrv.sel(concept=one["concept"])).values for hrv in (one, other)
    )
    pairs = np.triu_indices_from(first, 1)
    return float(correlation(first[pairs], second[pairs]))
