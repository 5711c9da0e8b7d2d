"""Measure everything and write the book's tables: ``python -m timings``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from timings import asking, carried, compared, full_size, memory, miniature, pools, startup, tables
from timings.clocks import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
TABLES = HERE.parent / "book" / "tables"
PARTS = {
    "full_size": full_size.measure,
    "carried": carried.measure,
    "miniature": miniature.measure,
    "memory": memory.measure,
    "startup": startup.measure,
    "compared": compared.measure,
    "asking": asking.measure,
    "large_pool": asking.measure_large,
    "pools": pools.measure,
}


def main(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; default: all.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Timed repetitions.")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure tiny sizes, as a test; write nothing.")
    ] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Only rewrite the tables from the stored results.")
    ] = False,
) -> None:
    """Measure on this machine, which should be idle."""
    if render:
        tables.write(json.loads(RESULTS.read_text()), TABLES)
        return
    if unknown := sorted(set(parts or ()) - PARTS.keys()):
        raise typer.BadParameter(f"there is no part {', '.join(unknown)}; give {', '.join(PARTS)}")
    stored = {} if quick else json.loads(RESULTS.read_text())
    # The other library of this part is not among those of the project.
    usual = [name for name in PARTS if name != "compared" or compared.installed()]
    measured = {name: PARTS[name](rounds, quick) for name in parts or usual}
    here = {name: machine() for name in measured}
    results = {**stored, **measured, "machines": {**stored.get("machines", {}), **here}}
    if quick:
        typer.echo("\n".join(f"{name}\n{table}" for name, table in tables.tables(results).items()))
        return
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    tables.write(results, TABLES)


if __name__ == "__main__":
    typer.run(main)
