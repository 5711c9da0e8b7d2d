"""Forecast what a capture, votes, pools and images take: time, memory, and bytes on disk."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from PIL import Image

from hrvlab.capture import capture
from hrvlab.forecast import forecast_calls
from hrvlab.generation import plan_batches
from hrvlab.inputs.prompts import as_prompts
from hrvlab.rehearsal import Rehearsal, extrapolate, few_steps
from hrvlab.relevance.votes import run_votes
from hrvlab.reservoir.record import record_queries
from hrvlab.reservoir.recordable import BUDGET_BYTES, CALLS, POSITIONS, plan_queries
from hrvlab.storage.atomic import temporary_folder
from hrvlab.storage.datasets import write_dataset, write_tree
from hrvlab.storage.galleries import SIDE
from hrvlab.storage.units import DATA

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.inputs.concepts import ConceptSet
    from hrvlab.rehearsal import DryRun
    from hrvlab.typing import Images, Prompts

SEED = 0  # of the votes that are drawn like those of the rehearsal


def rehearse_capture(pipe: DiffusionPipeline, prompts: Prompts, **call: Any) -> DryRun:
    """Forecast what a capture takes that is written as it is.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompts : str, Path, or iterable of str
    **call
        Other keywords of `hrvlab.capture`.

    Returns
    -------
    DryRun

    Raises
    ------
    ParameterError, TokenError, ModelError
        As `hrvlab.capture` does.
    """
    texts, short = as_prompts(prompts), few_steps(pipe, call)
    first = texts[: call.get("batch_size", 8)]
    with temporary_folder() as scratch:
        with Rehearsal(pipe) as rehearsal:
            captured = capture(pipe, first, **{**call, **short, "progress": False})
            tree = captured if isinstance(captured, xr.DataTree) else xr.DataTree(captured)
            write_tree(tree, scratch / "capture.zarr")
        calls = forecast_calls(pipe, call)
        ratios = {"prompt": len(texts) / len(first), "timestep": calls / rehearsal.calls}
        written = scaled_bytes(scratch / "capture.zarr", tree, ratios)
    grown = sum(
        variable.nbytes * (_ratio(variable.dims, ratios) - 1)
        for node in tree.subtree
        for variable in node.to_dataset(inherit=False).variables.values()
    )
    batches = len(plan_batches(texts, [0], len(first)))
    # The batches' parts are there until the whole has been put together from them.
    return extrapolate(rehearsal, calls, batches, written, round(2 * grown))


def rehearse_votes(
    pipe: DiffusionPipeline, concepts: ConceptSet, prompts: Prompts, **call: Any
) -> DryRun:
    """Forecast what it takes to collect votes into a store.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
    prompts : str, Path, or iterable of str
    **call
        Other keywords of `hrvlab.collect_votes`.

    Returns
    -------
    DryRun

    Raises
    ------
    ParameterError, ModelError
        As `hrvlab.collect_votes` does.
    """
    texts, short = as_prompts(prompts), few_steps(pipe, call)
    first = texts[: call.get("batch_size", 8)]
    batches = len(plan_batches(texts, [0], len(first)))
    calls = forecast_calls(pipe, call)
    with temporary_folder() as scratch:
        with Rehearsal(pipe) as rehearsal:
            given = {**call, **short, "progress": False, "store": scratch}
            run = run_votes(pipe, concepts, first, **given)
        path = scratch / "votes.zarr"
        alike = votes_alike(run.data.load(), calls, len(texts))
        write_dataset(alike, path)
        whole = scaled_bytes(path, xr.DataTree(alike), {"prompt": len(texts) / len(first)})
    of_batch = votes_alike(run.data, calls, len(first))
    unit = io.BytesIO()
    names = ("votes_by_prompt", "votes_by_timestep")
    np.savez_compressed(unit, *(of_batch[name].values.astype(np.int32) for name in names))
    written = whole + batches * unit.tell()
    return extrapolate(rehearsal, calls, batches, written, grown=0)


def rehearse_queries(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    positions: int = POSITIONS,
    calls: int | None = CALLS,
    batch_size: int = 8,
    budget_bytes: int = BUDGET_BYTES,
    **call: Any,
) -> DryRun:
    """Forecast what it takes to record queries.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompts : str, Path, or iterable of str
    positions, calls, batch_size, budget_bytes
        See `hrvlab.record_queries`.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    DryRun

    Raises
    ------
    ParameterError, ModelError
        As `hrvlab.record_queries` does.
    """
    texts, short = as_prompts(prompts), few_steps(pipe, call)
    kept = plan_queries(
        pipe,
        len(texts),
        positions=positions,
        calls=calls,
        batch_size=batch_size,
        budget_bytes=budget_bytes,
        call=call,
    )
    given = {**call, **short, "positions": positions, "calls": calls, "batch_size": batch_size}
    with temporary_folder() as scratch:
        with Rehearsal(pipe) as rehearsal:
            first = texts[:batch_size]
            pool = record_queries(pipe, first, store=scratch, progress=False, **given)
        ratios = {"prompt": len(texts) / len(first)}
        described = scaled_bytes(pool.folder / DATA, xr.DataTree(pool.data), ratios)
    batches = len(plan_batches(texts, [0], batch_size))
    return extrapolate(rehearsal, kept.total, batches, described + kept.nbytes, grown=0)


def rehearse_images(
    pipe: DiffusionPipeline,
    draw: Callable[[], Images],
    number: int,
    *,
    few: Mapping[str, Any],
    **call: Any,
) -> DryRun:
    """Forecast what it takes to generate images and to write them with a contact sheet.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    draw : callable () -> ndarray of uint8, shape (image, y, x, channel)
        Generates the first batch, in few steps.
    number : int
        Of all images.
    few : mapping of str to object
        The keywords that make the steps few, see `hrvlab.rehearsal.few_steps`.
    **call
        Keywords of the run.

    Returns
    -------
    DryRun
    """
    with Rehearsal(pipe) as rehearsal:
        made = draw()
        written = sum(_image_bytes(image) for image in made)
    ratio = forecast_calls(pipe, call) / forecast_calls(pipe, {**call, **few})
    share = number / len(made)
    calls = round(ratio * rehearsal.calls)
    return extrapolate(rehearsal, calls, share, round(share * written), grown=0)


def _image_bytes(pixels: np.ndarray) -> int:
    """Compute the bytes of an image as PNG, and of its small copy on a contact sheet."""
    image, files = Image.fromarray(pixels), (io.BytesIO(), io.BytesIO())
    image.save(files[0], "PNG")
    image.thumbnail((SIDE, SIDE))
    image.save(files[1], "PNG")
    return sum(file.tell() for file in files)


def votes_alike(votes: xr.Dataset, calls: int, prompts: int) -> xr.Dataset:
    """Draw votes as they would be after more denoiser calls, to see how well they compress.

    Parameters
    ----------
    votes : xarray.Dataset
        Collected in a few calls.
    calls : int
        Denoiser calls.
    prompts : int
        Whose votes are counted together in each call.

    Returns
    -------
    xarray.Dataset
        Of as many prompts as before.
    """
    random = np.random.default_rng(SEED)

    def draw(counts: xr.DataArray, number: int) -> np.ndarray:
        shares = counts / counts.sum("concept")
        return random.multinomial(number, shares.values.astype(float))

    order = ("head_position", "concept")
    counted = votes["votes_by_prompt"].transpose("prompt", *order)
    # A few calls show few of the concepts that a prompt's votes will go to.
    by_prompt = counted + counted.mean("prompt")
    heads = counted.sum("prompt").expand_dims(timestep=calls).transpose("timestep", *order)
    return xr.Dataset(
        {
            "votes_by_prompt": (by_prompt.dims, draw(by_prompt, calls).astype(np.int32)),
            "votes_by_timestep": (heads.dims, draw(heads, prompts)),
        },
        coords={
            **{name: of for name, of in votes.coords.items() if "timestep" not in of.dims},
            "scheduler_timestep": ("timestep", np.arange(calls, dtype=float)),
        },
        attrs=votes.attrs,
    ).drop_vars("collected", errors="ignore")


def scaled_bytes(folder: Path, tree: xr.DataTree, ratios: Mapping[str, float]) -> int:
    """Compute the bytes that stored datasets would take if some of their dims were longer.

    Parameters
    ----------
    folder : Path
        Where they are.
    tree : xarray.DataTree
    ratios : mapping of str to float
        By how much dims would be longer.

    Returns
    -------
    int
    """
    total = 0.0
    for path in folder.rglob("*"):
        if path.is_file():
            node, (name, *rest) = tree, path.relative_to(folder).parts
            while name in node.children:
                node, (name, *rest) = node.children[name], rest
            variables = node.to_dataset(inherit=False).variables
            described = path.name == "zarr.json" or name not in variables
            ratio = 1.0 if described else _ratio(variables[name].dims, ratios)
            total += path.stat().st_size * ratio
    return round(total)


def _ratio(dims: tuple[Any, ...], ratios: Mapping[str, float]) -> float:
    return float(np.prod([ratios.get(str(dim), 1.0) for dim in dims]))
