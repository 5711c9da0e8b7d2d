"""``hrvlab model``: the making of the miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

StageName = Literal[
    "clip",
    "autoencoder",
    "judge",
    "denoiser",
    "reading",
    "refining",
    "composing",
    "beginning",
    "revising",
    "rehearsing",
    "assemble",
    "measure",
]


def train(
    stage: Annotated[
        StageName | None, typer.Argument(help="One stage; default: all, in this order.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Working folder; a killed training goes on from it.")
    ] = Path("runs/miniature"),
    target: Annotated[
        Path | None, typer.Option(help="Pipeline folder to write; default: FOLDER/pipeline.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", help="Assembled miniature whose trained stages to start from."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few steps of every stage, to see that it works.")
    ] = False,
) -> None:
    """Train the miniature from nothing: hours on two CPU cores, resumable."""
    # Here, because what training imports takes seconds that no other command should wait.
    from hrvlab.miniature.assembly import unpack
    from hrvlab.miniature.recipe import SHIPPED, SMOKE, STAGES, run_stages

    if start_from:
        unpack(start_from, folder)
    names = [stage] if stage else STAGES
    run_stages(names, folder, target or folder / "pipeline", SMOKE if smoke else SHIPPED)
