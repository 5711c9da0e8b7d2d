"""Measure everything and write the book's tables: ``python -m timings``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from timings import full_size, memory, miniature, tables
from timings.clocks import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
TABLES = HERE.parent / "book" / "tables"


def main(
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
    results = {
        "machine": machine(),
        "full_size": full_size.measure(rounds, quick),
        "miniature": miniature.measure(rounds, quick),
        "memory": memory.measure(quick),
    }
    if quick:
        typer.echo("\n".join(f"{name}\n{table}" for name, table in tables.tables(results).items()))
        return
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    tables.write(results, TABLES)


if __name__ == "__main__":
    typer.run(main)
