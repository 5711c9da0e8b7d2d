"""Forecast what making or checking a study's result takes, from one of its units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.rehearsal import DryRun, Rehearsal
from hrvlab.results.check import choose_units, compute_again, shipped_units
from hrvlab.storage.atomic import temporary_folder
from hrvlab.storage.images import FOLDER

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import Study


def rehearse_result(
    study: Study, pipe: DiffusionPipeline, results: Path, *, share: float = 1.0, seed: int = 0
) -> DryRun:
    """Forecast what it takes to compute a share of the units of a result that ships.

    Parameters
    ----------
    study : Study
    pipe : diffusers.DiffusionPipeline
    results : Path
        Folder of all results.
    share : float
        Of all units of the study, at least one; all: the result is written too.
    seed : int
        Of the choice of the unit that is computed for the forecast.

    Returns
    -------
    DryRun
        Studies that it needs are taken as finished.

    Raises
    ------
    StoreError
        If there is no result, or it was made by another plan.
    """
    shipped = shipped_units(study, results)
    number = max(1, round(share * sum(map(len, shipped.values()))))
    with temporary_folder() as scratch:
        chosen = choose_units(shipped, 0.0, seed)
        with Rehearsal(pipe) as rehearsal:
            compute_again(study, pipe, results, chosen, scratch)
        images = sum(path.stat().st_size for path in scratch.glob(f"*/*/{FOLDER}/*"))
    files = (path for path in (results / study.name).rglob("*") if path.is_file())
    result = sum(path.stat().st_size for path in files)
    before = rehearsal.seconds_before
    return DryRun(
        seconds=before + number * (rehearsal.seconds - before),
        memory=rehearsal.memory,
        device_memory=rehearsal.device_memory,
        written=result + number * images if share == 1 else 0,
        calls=number * rehearsal.calls,
        seconds_per_call=rehearsal.seconds_per_call,
    )
