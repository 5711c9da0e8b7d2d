"""Head Relevance Vectors: votes normalised so that each concept's row averages 1 over heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.errors import ConceptError, ModelError, ParameterError, StoreError
from hrvlab.models.heads import head_table
from hrvlab.models.load import fingerprint
from hrvlab.relevance.similarity import split_half_correlation
from hrvlab.store import read_dataset, write_dataset


def normalise(votes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Turn votes into relevance: every concept's row sums to the number of head positions.

    Every head casts the same number of votes, so the only step that matters is the division of
    each concept by its own sum; it lifts rare concepts to the scale of common ones.

    Parameters
    ----------
    votes : ndarray of int, shape (..., head_position, concept)

    Returns
    -------
    ndarray of float64, shape (..., concept, head_position)
        NaN for a concept without votes.
    """
    by_concept = np.swapaxes(votes, -1, -2).astype(np.float64)
    totals = by_concept.sum(axis=-1, keepdims=True)
    shares = np.divide(by_concept, totals, out=np.full_like(by_concept, np.nan), where=totals > 0)
    return shares * by_concept.shape[-1]


def relevance(votes: xr.Dataset) -> xr.DataArray:
    """Build Head Relevance Vectors from votes.

    Parameters
    ----------
    votes : xarray.Dataset
        With ``votes_by_timestep``, from `collect_votes`.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``; each row sums to the number of head positions. The
        coordinates say how far each concept's vector can be trusted: ``votes``, on how many it
        rests; ``halves``, the plain Pearson correlation, not stepped up, between the vectors of the
        even and of the odd prompts (not there for a single prompt).

    Raises
    ------
    ConceptError
        If a concept got no vote at all.

    Notes
    -----
    Section 3 of arXiv 2412.02237.
    """
    vectors = _from_counts(votes, votes["votes_by_timestep"].sum("timestep"))
    if votes.sizes["prompt"] < 2:
        return vectors
    halves = split_half_correlation(relevance_by_half(votes))
    return vectors.assign_coords(halves=("concept", halves.values))


def relevance_by_timestep(votes: xr.Dataset) -> xr.DataArray:
    """Build one set of Head Relevance Vectors for each UNet call.

    Their mean over calls is not quite `relevance`, because each call is normalised by itself.

    Returns
    -------
    xarray.DataArray
        Dims ``(timestep, concept, head_position)``; NaN where a concept got no vote in a call.
    """
    return _from_counts(votes, votes["votes_by_timestep"])


def relevance_by_half(votes: xr.Dataset) -> xr.DataArray:
    """Build Head Relevance Vectors from the even and from the odd prompts, to compare them.

    Returns
    -------
    xarray.DataArray
        Dims ``(half, concept, head_position)``.

    Raises
    ------
    ParameterError
        If there are fewer than two prompts.
    """
    by_prompt = votes["votes_by_prompt"]
    if by_prompt.sizes["prompt"] < 2:
        raise ParameterError("two halves need at least two prompts; collect votes from more")
    halves = [by_prompt.isel(prompt=slice(start, None, 2)).sum("prompt") for start in (0, 1)]
    return _from_counts(votes, xr.concat(halves, "half"))


def _from_counts(votes: xr.Dataset, counts: xr.DataArray) -> xr.DataArray:
    totals = votes["votes_by_timestep"].sum(("timestep", "head_position"))
    empty = [str(name) for name in votes["concept"].values[totals.values == 0]]
    if empty:
        raise ConceptError(
            f"no head ever voted for {', '.join(empty)}; use more prompts or other words"
        )
    vectors = xr.apply_ufunc(
        normalise,
        counts,
        input_core_dims=[["head_position", "concept"]],
        output_core_dims=[["concept", "head_position"]],
    )
    vectors = vectors.assign_coords(votes=totals).rename("relevance")
    return vectors.assign_attrs({**votes.attrs, "schema": "relevance"})


def relevance_from_array(
    array: NDArray[np.floating], *, concepts: Sequence[str], pipe: DiffusionPipeline
) -> xr.DataArray:
    """Label Head Relevance Vectors that you have as numbers.

    Parameters
    ----------
    array : ndarray of float, shape (concept, head_position)
        Head positions in the published order.
    concepts : sequence of str
        Names of the rows.
    pipe : diffusers.DiffusionPipeline
        The model they belong to.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.

    Raises
    ------
    ParameterError
        If the shape does not fit the names or the model, or a number is not finite.
    """
    table = head_table(pipe.unet)
    expected = (len(concepts), table.sizes["head_position"])
    if np.shape(array) != expected:
        raise ParameterError(
            f"the array has shape {np.shape(array)}; {len(concepts)} concepts and this model's "
            f"heads need {expected}"
        )
    if not np.isfinite(array).all():
        raise ParameterError("the array holds NaN or infinity; every relevance must be finite")
    return xr.DataArray(
        np.asarray(array),
        dims=("concept", "head_position"),
        coords={"concept": list(concepts), **table.coords},
        name="relevance",
        attrs={"schema": "relevance", "model_fingerprint": fingerprint(pipe)},
    )


def check_model(
    hrv: xr.DataArray, pipe: DiffusionPipeline, *, allow_other_model: bool = False
) -> None:
    """Refuse Head Relevance Vectors that were built from another model.

    Raises
    ------
    ModelError
        If the fingerprints differ, unless the caller allows it.
    """
    built_on, given = hrv.attrs.get("model_fingerprint"), fingerprint(pipe)
    if built_on != given and not allow_other_model:
        raise ModelError(
            f"these relevance vectors were built from model {built_on}, this one is {given}; "
            "build them anew, or say allow_other_model=True"
        )


def rank(hrv: xr.DataArray) -> xr.DataArray:
    """Order the heads of each concept from most to least relevant.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (..., head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(..., rank)``: head positions; of equal heads the lower position comes first.
    """
    order = np.argsort(-hrv.transpose(..., "head_position").values, axis=-1, kind="stable")
    dims = [dim for dim in hrv.dims if dim != "head_position"]
    coords = {dim: hrv[dim] for dim in dims if dim in hrv.coords}
    return xr.DataArray(order, dims=(*dims, "rank"), coords=coords, name="head_position")


def unstack_heads(array: xr.DataArray) -> xr.DataArray:
    """Lay flat head positions out as layer × head, NaN where a layer has fewer heads.

    Parameters
    ----------
    array : xarray.DataArray, dims (..., head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(..., layer, head)``, with ``place`` and ``place_layer`` along ``layer``.
    """
    flat = array.transpose(..., "head_position")
    layer, head = flat["layer"].values, flat["head"].values
    grid = np.full((*flat.shape[:-1], layer.max() + 1, head.max() + 1), np.nan)
    grid[..., layer, head] = flat.values
    dims = flat.dims[:-1]
    first = [int(np.flatnonzero(layer == number)[0]) for number in range(layer.max() + 1)]
    along = {
        name: ("layer", flat[name].values[first])
        for name in ("place", "place_layer", "module", "grid")
        if name in flat.coords
    }
    kept = {name: c for name, c in flat.coords.items() if "head_position" not in c.dims}
    return xr.DataArray(
        grid,
        dims=(*dims, "layer", "head"),
        coords={
            **kept,
            **along,
            "layer": np.arange(grid.shape[-2]),
            "head": np.arange(grid.shape[-1]),
        },
        name=flat.name,
        attrs=flat.attrs,
    )


def stack_heads(grid: xr.DataArray, table: xr.Dataset) -> xr.DataArray:
    """Undo `unstack_heads`.

    Parameters
    ----------
    grid : xarray.DataArray, dims (..., layer, head)
    table : xarray.Dataset
        The model's `head_table`.
    """
    ordered = grid.transpose(..., "layer", "head")
    values = ordered.values[..., table["layer"].values, table["head"].values]
    dims = ordered.dims[:-2]
    kept = {n: c for n, c in ordered.coords.items() if not {"layer", "head"} & set(c.dims)}
    return xr.DataArray(
        values,
        dims=(*dims, "head_position"),
        coords={**kept, **table.coords},
        name=grid.name,
        attrs=grid.attrs,
    )


def save_relevance(hrv: xr.DataArray, path: str | Path) -> None:
    """Save Head Relevance Vectors as a zarr store, with all they remember.

    Raises
    ------
    SchemaError
    StoreError
        If the folder cannot be written, or is there and holds something else.
    """
    if Path(path).exists() and not (Path(path) / "zarr.json").is_file():
        raise StoreError(f"{path} is there and holds no dataset; give another path")
    write_dataset(hrv.to_dataset(name="relevance").assign_attrs(hrv.attrs), Path(path))


def load_relevance(path: str | Path) -> xr.DataArray:
    """Load Head Relevance Vectors that `save_relevance` wrote.

    Raises
    ------
    SchemaError, StoreError
    """
    dataset = read_dataset(Path(path))
    return dataset["relevance"].assign_attrs(dataset.attrs)
