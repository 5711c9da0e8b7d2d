"""``hrvlab results`` and ``check-results``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hrvlab.cli.options import Device, out, say
from hrvlab.errors import ParameterError
from hrvlab.models.load import MINIATURE, load
from hrvlab.results.check import check_result
from hrvlab.results.studies import STUDIES
from hrvlab.results.study import Study, make_result, read_result, results_path


def results(
    study: Annotated[
        list[str] | None, typer.Argument(help="Studies; default: all, in this order.")
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Keeps finished units; a killed run goes on from there.")
    ] = Path("runs/results"),
    device: Device = None,
) -> None:
    """Make the finished results of the miniature anew: hours on two CPU cores."""
    studies = _studies(study)
    pipe = load(MINIATURE, device=device)
    for one in studies:
        say(f"made: {make_result(one, pipe, work, results_path())}")


def check_results(
    study: Annotated[list[str] | None, typer.Argument(help="Studies; default: all.")] = None,
    share: Annotated[float, typer.Option(help="Share of the units to compute anew.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Chooses the units.")] = 0,
    device: Device = None,
) -> None:
    """Compute a few units of the finished results anew and compare them with what ships."""
    studies = _studies(study)
    for one in studies:
        read_result(one.name)
    pipe = load(MINIATURE, device=device)
    table = Table("result", "units", "numbers", "largest difference", "", box=None)
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
    unknown = sorted(set(names or ()) - STUDIES.keys())
    if unknown:
        raise ParameterError(
            f"there is no study {', '.join(unknown)}; give some of: {', '.join(STUDIES)}"
        )
    return [study for name, study in STUDIES.items() if not names or name in names]
