"""``hrvlab results`` and ``check-results``: make and check the shipped results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hrvlab.cli.options import Device, out, say
from hrvlab.errors import ParameterError
from hrvlab.experiments.study import Study
from hrvlab.models.load import MINIATURE, load
from hrvlab.results.check import check_result
from hrvlab.results.make import make_result, read_result, results_path
from hrvlab.results.registry import STUDIES


def results(
    study: Annotated[
        list[str] | None, typer.Argument(help="Names of studies; default: all of them.")
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Folder of finished units; an interrupted run resumes.")
    ] = Path("runs/results"),
    device: Device = None,
) -> None:
    """Recompute the shipped results of the miniature: takes hours on two CPU cores."""
    studies = _studies(study)
    pipe = load(MINIATURE, device=device)
    for one in studies:
        say(f"made: {make_result(one, pipe, work, results_path())}")


def check_results(
    study: Annotated[
        list[str] | None, typer.Argument(help="Names of studies; default: all of them.")
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the units to recompute.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Seed of the choice of units.")] = 0,
    device: Device = None,
) -> None:
    """Recompute a random sample of the shipped results and compare it with what ships."""
    studies = _studies(study)
    for one in studies:
        read_result(one.name)
    pipe = load(MINIATURE, device=device)
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


def _studies(names: list[str] | None) -> list[Study]:
    """Return the named studies, or all of them, in the order in which they need each other."""
    unknown = sorted(set(names or ()) - STUDIES.keys())
    if unknown:
        raise ParameterError(
            f"there is no study {', '.join(unknown)}; give some of: {', '.join(STUDIES)}"
        )
    return [study for name, study in STUDIES.items() if not names or name in names]
