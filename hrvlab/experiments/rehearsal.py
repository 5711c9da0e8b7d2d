"""Forecast what trials take: a few of their units are generated, scored and kept in few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.forecast import forecast_calls
from hrvlab.provenance import provenance
from hrvlab.rehearsal import DryRun, Rehearsal, extrapolate, few_steps
from hrvlab.scorers.base import rate
from hrvlab.storage.atomic import temporary_folder
from hrvlab.storage.datasets import write_dataset
from hrvlab.storage.images import save_images

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.runner import Trial, TrialUnit
    from hrvlab.storage.units import Unit

MEASURED = 3  # units, spread over the first trial
UNIT = "unit.npz"

# The trials of a run with the given keywords; none of them is run.
Plan = Callable[[Mapping[str, Any]], Iterable["Trial"]]


@dataclass(frozen=True)
class _Measured:
    """A unit that was generated in few steps: what it takes in all, and what it measured."""

    forecast: DryRun
    images: int
    arrays: Unit
    array_bytes: int


def rehearse_trials(
    pipe: DiffusionPipeline,
    plan: Plan,
    call: Mapping[str, Any],
    shown: Callable[[xr.Dataset], NDArray[np.str_]] | None = None,
) -> DryRun:
    """Forecast what it takes to run trials that have not been run.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    plan : callable (call) -> iterable of Trial
        Plans them with the keywords of a run.
    call : mapping of str to object
        The keywords of the run.
    shown : callable (xarray.Dataset) -> ndarray of str, optional
        Names the images of a trial's result that are kept again, beside all its units; by default
        nothing is kept twice.

    Returns
    -------
    DryRun
        Refinements of latents are counted as if they were as many for each step as in few steps,
        which is more than they are.
    """
    trials = images = 0
    first: Trial | None = None
    for trial in plan(call):
        first = first or trial
        trials, images = trials + 1, images + sum(len(unit.names) for unit in trial.units)
    assert first is not None
    few = {**call, **few_steps(pipe, call)}
    ratio = forecast_calls(pipe, call) / forecast_calls(pipe, few)
    short = next(iter(plan(few)))
    spread = np.linspace(0, len(short.units) - 1, MEASURED).round().astype(int)
    chosen = [short.units[number] for number in dict.fromkeys(spread.tolist())]
    measured = [_measure(pipe, short, unit, ratio) for unit in chosen]
    of = images / sum(one.images for one in measured)
    arrays = round(of * sum(one.array_bytes for one in measured))
    pictures = sum(one.forecast.written - one.array_bytes for one in measured)
    result = _result(pipe, first, [one.arrays for one in measured])
    data = trials * _bytes_of(result)
    written = arrays + round(of * pictures) + data
    if shown is not None:
        again = trials * shown(result).size * pictures / sum(one.images for one in measured)
        written += arrays + data + round(again)
    return DryRun(
        seconds=of * sum(one.forecast.seconds for one in measured),
        memory=max(one.forecast.memory for one in measured),
        device_memory=max(one.forecast.device_memory for one in measured),
        written=written,
        calls=ceil(of * sum(one.forecast.calls for one in measured)),
        seconds_per_call=max(one.forecast.seconds_per_call for one in measured),
    )


def _measure(pipe: DiffusionPipeline, trial: Trial, unit: TrialUnit, ratio: float) -> _Measured:
    """Generate, score and keep a unit, and forecast it in more denoiser calls."""
    with temporary_folder() as scratch:
        with Rehearsal(pipe) as rehearsal:
            generated = unit.generate(pipe)
            arrays = dict(generated.measures)
            for name, texts in unit.texts.items():
                arrays[name] = rate(trial.score, generated.images, texts, generated.withheld)
            save_images(scratch, unit.names, generated.images)
            np.savez_compressed(scratch / UNIT, allow_pickle=False, **arrays)
        written = _folder_bytes(scratch)
        array_bytes = (scratch / UNIT).stat().st_size
    forecast = extrapolate(rehearsal, round(ratio * rehearsal.calls), 1, written, grown=0)
    return _Measured(forecast, len(unit.names), arrays, array_bytes)


def _result(pipe: DiffusionPipeline, trial: Trial, measured: Sequence[Unit]) -> xr.Dataset:
    """Assemble a result as large as a trial's, in which the numbers of a few units repeat."""
    units = []
    for number, unit in enumerate(trial.units):
        arrays = measured[number % len(measured)]
        index = np.arange(len(unit.names))
        units.append({name: of.take(index, -1, mode="wrap") for name, of in arrays.items()})
    named = provenance(pipe, trial.schema, seed=list(trial.seeds), parameters=trial.parameters)
    return trial.assemble(units).assign_attrs(named)


def _bytes_of(data: xr.Dataset) -> int:
    """Compute the bytes of a dataset as it is stored."""
    with temporary_folder() as scratch:
        write_dataset(data, scratch / "data.zarr")
        return _folder_bytes(scratch)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
