"""Head Relevance Vectors: votes normalized so that each concept's row averages 1 over heads."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ConceptError, ParameterError
from hrvlab.relevance.counts import counts, counts_by_prompt, counts_by_timestep, holders
from hrvlab.relevance.similarity import split_half_correlation
from hrvlab.storage.plans import as_json


def normalize(votes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Normalize votes, so that every concept's row sums to the number of head positions.

    Every head casts the same number of votes, so it is enough to divide each concept's votes by
    their sum; this brings rare concepts to the scale of common ones.

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
        From `collect_votes`, or some of its prompts, denoiser calls, heads or concepts: the vectors
        are those of exactly these votes, see `hrvlab.relevance.counts`.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``; each row sums to the number of head positions. Two
        coordinates of ``concept`` show how far each vector can be trusted: ``votes``, the number
        of votes that it is built from, and ``split_half``, the Pearson correlation between the
        vectors from the even and from the odd prompts (absent if there is only one prompt, or
        denoiser calls were selected).

    Raises
    ------
    ConceptError
        If a concept received no vote at all.
    ParameterError
        If both prompts and denoiser calls were selected, whose votes are not counted.
    SchemaError
        If the votes have other dims.

    Notes
    -----
    Section 3 of arXiv 2412.02237.
    """
    vectors = _vectors_from(votes, counts(votes))
    if "prompt" not in holders(votes) or votes.sizes["prompt"] < 2:
        return vectors
    correlation = split_half_correlation(relevance_by_half(votes))
    return vectors.assign_coords(split_half=("concept", correlation.values))


def relevance_by_timestep(votes: xr.Dataset) -> xr.DataArray:
    """Build one set of Head Relevance Vectors for each denoiser call.

    Each call is normalized by itself, so the mean over calls differs a little from `relevance`.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`.

    Returns
    -------
    xarray.DataArray
        Dims ``(timestep, concept, head_position)``; NaN where a concept received no vote in a call.

    Raises
    ------
    ConceptError
        If a concept received no vote at all.
    ParameterError
        If prompts were selected, whose votes in each call are not counted.
    """
    return _vectors_from(votes, counts_by_timestep(votes))


def relevance_by_half(votes: xr.Dataset) -> xr.DataArray:
    """Build Head Relevance Vectors from the even and from the odd prompts.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`.

    Returns
    -------
    xarray.DataArray
        Dims ``(half, concept, head_position)``; NaN where a concept received no vote in a half.

    Raises
    ------
    ConceptError
        If a concept received no vote at all.
    ParameterError
        If there are fewer than two prompts, or denoiser calls were selected.
    """
    by_prompt = counts_by_prompt(votes)
    if by_prompt.sizes["prompt"] < 2:
        raise ParameterError("one prompt cannot be split into halves; collect votes from more")
    halves = [by_prompt.isel(prompt=slice(start, None, 2)).sum("prompt") for start in (0, 1)]
    return _vectors_from(votes, xr.concat(halves, "half"))


def _vectors_from(votes: xr.Dataset, counted: xr.DataArray) -> xr.DataArray:
    """Normalize votes that were counted in a dataset, and label the vectors."""
    totals = counted.sum([dim for dim in counted.dims if dim != "concept"])
    empty = [str(name) for name in votes["concept"].values[totals.values == 0]]
    if empty:
        raise ConceptError(f"no head voted for {', '.join(empty)}; use more prompts or other words")
    dims = ["head_position", "concept"]
    vectors = xr.apply_ufunc(
        normalize, counted, input_core_dims=[dims], output_core_dims=[dims[::-1]]
    )
    vectors = vectors.assign_coords(votes=totals).rename("relevance")
    return vectors.assign_attrs({**_with_own_prompts(votes), "schema": "relevance"})


def _with_own_prompts(votes: xr.Dataset) -> dict[str, object]:
    """Return the attributes of votes, whose parameters list the prompts that they still have."""
    attributes = {str(name): value for name, value in votes.attrs.items()}
    parameters = json.loads(attributes.get("parameters", "{}"))
    prompts = votes["prompt_text"].values.tolist() if "prompt_text" in votes.coords else None
    if "prompts" not in parameters or parameters["prompts"] == prompts:
        return attributes
    return {**attributes, "parameters": as_json({**parameters, "prompts": prompts})}


def by_position(hrv: xr.DataArray) -> xr.DataArray:
    """Sort vectors by head position, in case their heads were selected in another order.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (..., head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(..., head_position)``.
    """
    return hrv.sortby("head_position") if "head_position" in hrv.coords else hrv


def rank(hrv: xr.DataArray) -> xr.DataArray:
    """Rank the heads of each concept from most to least relevant.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (..., head_position)

    Returns
    -------
    xarray.DataArray
        Head positions, dims ``(..., rank)``; among equal heads the lower position comes first.
    """
    ordered = by_position(hrv).transpose(..., "head_position")
    order = np.argsort(-ordered.values, axis=-1, kind="stable")
    positions = ordered["head_position"].values[order]
    dims = ordered.dims[:-1]
    coords = {dim: hrv[dim] for dim in dims if dim in hrv.coords}
    return xr.DataArray(positions, dims=(*dims, "rank"), coords=coords, name="head_position")


def unstack_heads(array: xr.DataArray) -> xr.DataArray:
    """Arrange flat head positions in a grid of layer × head.

    Parameters
    ----------
    array : xarray.DataArray, dims (..., head_position)

    Returns
    -------
    xarray.DataArray
        Dims ``(..., layer, head)``, with ``block`` and ``block_layer`` along ``layer``; NaN where a
        layer has fewer heads than others. Layers without any of the heads are left out.
    """
    flat = array.transpose(..., "head_position")
    head = flat["head"].values
    layers, first, layer = np.unique(flat["layer"].values, return_index=True, return_inverse=True)
    heads = np.arange(head.max() + 1)
    grid = np.full((*flat.shape[:-1], len(layers), len(heads)), np.nan)
    grid[..., layer, head] = flat.values
    along = {
        name: ("layer", flat[name].values[first])
        for name in ("block", "block_layer", "module", "grid")
        if name in flat.coords
    }
    kept = {name: c for name, c in flat.coords.items() if "head_position" not in c.dims}
    return xr.DataArray(
        grid,
        dims=(*flat.dims[:-1], "layer", "head"),
        coords={**kept, **along, "layer": layers, "head": heads},
        name=flat.name,
        attrs=flat.attrs,
    )


def stack_heads(grid: xr.DataArray, table: xr.Dataset) -> xr.DataArray:
    """Arrange a grid of layer × head as flat head positions: the inverse of `unstack_heads`.

    Parameters
    ----------
    grid : xarray.DataArray, dims (..., layer, head)
    table : xarray.Dataset
        The model's `head_table`.

    Returns
    -------
    xarray.DataArray
        Dims ``(..., head_position)``.

    Raises
    ------
    ParameterError
        If the grid lacks layers or heads of the model.
    """
    ordered = grid.transpose(..., "layer", "head")
    layers, heads = (
        pd.Index(ordered[dim].values).get_indexer(table[dim].values) for dim in ("layer", "head")
    )
    if min(layers.min(), heads.min()) < 0:
        raise ParameterError("the grid lacks some of the model's layers or heads; give all of them")
    values = ordered.values[..., layers, heads]
    kept = {n: c for n, c in ordered.coords.items() if not {"layer", "head"} & set(c.dims)}
    return xr.DataArray(
        values,
        dims=(*ordered.dims[:-2], "head_position"),
        coords={**kept, **table.coords},
        name=grid.name,
        attrs=grid.attrs,
    )


def concept_vector(hrv: xr.DataArray, concept: str) -> xr.DataArray:
    """Select one concept's vector, its heads in the model's order.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str

    Returns
    -------
    xarray.DataArray
        Dim ``head_position``.

    Raises
    ------
    ConceptError
        If the vectors have no such concept, or several, or a relevance is missing.
    ParameterError
        If they have other dims, or lack heads.
    """
    if {*hrv.dims} != {"concept", "head_position"}:
        raise ParameterError(
            f"vectors need the dims (concept, head_position), these have {hrv.dims}; select "
            "concepts by a list, and one entry of any further dim"
        )
    names = [str(name) for name in hrv["concept"].values]
    if concept not in names:
        raise ConceptError(f"there is no concept {concept!r}; there are: {', '.join(names)}")
    if names.count(concept) > 1:
        raise ConceptError(
            f"{names.count(concept)} vectors are named {concept!r}; give one of them"
        )
    row = by_position(hrv.isel(concept=names.index(concept), drop=True))
    positions = row["head_position"].values.tolist()
    if positions != list(range(len(positions))):
        raise ParameterError(
            f"the vectors hold only some of the model's heads, or some of them twice: positions "
            f"{positions[0]} to {positions[-1]}, {len(positions)} in all; give all heads once"
        )
    if not np.isfinite(row).all():
        raise ConceptError(f"the vector of {concept!r} holds NaN or infinity; give finite numbers")
    return row
