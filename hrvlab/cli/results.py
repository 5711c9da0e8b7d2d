"""``hrvlab results`` and ``check-results``: make and check the shipped results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hrvlab.cli.options import LARGEST_SEED, Device, DryRun, out, path_option, say
from hrvlab.paths import MINIATURE
from hrvlab.results.registry import find_study, select_studies

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import Study

Names = Annotated[list[str] | None, typer.Argument(help="Names of studies; default: all of them.")]


def _check_share(share: float) -> float:
    if math.isnan(share):
        raise typer.BadParameter("nan is not a share; give a number from 0 to 1")
    return share


def results(
    study: Names = None,
    work: Annotated[
        Path,
        path_option(
            "--work", folder=True, help="Folder of finished units; an interrupted run resumes."
        ),
    ] = Path("runs/results"),
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Recompute the shipped results of the miniature: takes hours on two CPU cores."""
    names = select_studies(study or ())
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.models.load import load
    from hrvlab.results.make import make_result, results_path
    from hrvlab.storage.atomic import check_writable

    studies = [find_study(name) for name in names]
    if dry_run:
        _forecast(studies, load(MINIATURE, device=device), 1.0)
        return
    check_writable(results_path())
    pipe = load(MINIATURE, device=device)
    for one in studies:
        done = "replaced" if (results_path() / one.name).exists() else "made"
        say(f"{done}: {make_result(one, pipe, work, results_path())}")


def check_results(
    study: Names = None,
    share: Annotated[
        float,
        typer.Option(min=0, max=1, callback=_check_share, help="Share of the units to recompute."),
    ] = 0.02,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the choice of units.")
    ] = 0,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Recompute a random sample of the shipped results and compare it with what ships."""
    names = select_studies(study or ())
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.models.load import load
    from hrvlab.results.check import check_result
    from hrvlab.results.make import read_result, results_path

    studies = [find_study(name) for name in names]
    for name in names:
        read_result(name)
    pipe = load(MINIATURE, device=device)
    if dry_run:
        _forecast(studies, pipe, share)
        return
    table = Table("result", "units", "arrays", "largest difference", "", box=None)
    agree = True
    for one in studies:
        compared = check_result(one, pipe, results_path(), share=share, seed=seed)
        units = {(unit.part, unit.unit) for unit in compared}
        right = all(unit.agrees for unit in compared)
        largest = max(unit.difference for unit in compared)
        verdict = "agrees" if right else "differs"
        table.add_row(one.name, str(len(units)), str(len(compared)), f"{largest:.2g} σ", verdict)
        agree &= right
    out.print(table)
    if not agree:
        raise typer.Exit(1)


def _forecast(studies: Sequence[Study], pipe: DiffusionPipeline, share: float) -> None:
    """Tell what each study takes, as soon as one of its units was computed."""
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.results.make import results_path
    from hrvlab.results.rehearsal import rehearse_result

    for one in studies:
        say(f"{one.name}: {rehearse_result(one, pipe, results_path(), share=share)}")
