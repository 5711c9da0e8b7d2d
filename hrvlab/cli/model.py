"""``hrvlab model``: train the miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hrvlab.cli.options import path_option, say
from hrvlab.miniature.report import read_report
from hrvlab.storage.atomic import check_writable

StageName = Literal[
    "clip",
    "autoencoder",
    "judge",
    "denoiser",
    "word-conditioning",
    "word-conditioning-longer",
    "noisy-steps",
    "from-pure-noise",
    "forgotten-attributes",
    "forgotten-attributes-again",
    "assemble",
    "measure",
]


def train(
    stage: Annotated[
        StageName | None, typer.Argument(help="A single stage; default: all, in this order.")
    ] = None,
    folder: Annotated[
        Path,
        path_option(
            "--folder", folder=True, help="Working folder; an interrupted training resumes from it."
        ),
    ] = Path("runs/miniature"),
    target: Annotated[
        Path | None,
        path_option(
            "--target", folder=True, help="Pipeline folder to write; default: FOLDER/pipeline."
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        path_option("--from", help="An assembled miniature, whose trained stages to start from."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Train every stage for a few steps only, as a test.")
    ] = False,
) -> None:
    """Train the miniature from scratch: takes hours on two CPU cores, and can be resumed."""
    if start_from:
        read_report(start_from)
    target = target or folder / "pipeline"
    for written in (folder, target.parent):
        check_writable(written)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.miniature.assembly import unpack
    from hrvlab.miniature.recipe import SHIPPED, SMOKE, STAGES, run_stages

    if start_from:
        unpack(start_from, folder)
    names = [stage] if stage else STAGES
    there = target.exists()
    run_stages(names, folder, target, SMOKE if smoke else SHIPPED)
    if "assemble" in names:
        say(f"{'replaced' if there else 'made'}: {target}")
