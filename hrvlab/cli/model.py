"""``hrvlab model``: train the miniature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from hrvlab.cli.options import DryRun, path_option, say
from hrvlab.miniature.report import read_report
from hrvlab.storage.atomic import check_writable, storing

StageName = Literal[
    "clip",
    "autoencoder",
    "denoiser",
    "decoder",
    "judge",
    "assemble",
    "measure",
    "joint",
    "assemble-joint",
]


def train(
    stage: Annotated[
        StageName | None,
        typer.Argument(help="A single stage; default: all, in this order, before 'joint'."),
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
    start: Annotated[
        Path | None,
        path_option("--from", help="An assembled miniature, whose weights to start from."),
    ] = None,
    side: Annotated[
        Literal["64", "128"], typer.Option(help="Pixels of an image's side; 128 is for a GPU.")
    ] = "64",
    hours: Annotated[
        float | None,
        typer.Option(min=0.01, help="Wall time for the UNet, or for 'joint', instead of steps."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Train every stage for a few steps only, as a test.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Train the miniature from scratch: takes hours on two CPU cores, and can be resumed.

    The stage 'joint' trains a joint-attention model, of Stable Diffusion 3's shape, on the
    miniature's CLIP and autoencoder; 'assemble-joint' saves what it has of its own,
    beside the assembled miniature.
    """
    if start:
        read_report(start)
    target = target or folder / "pipeline"
    for written in () if dry_run else (folder, target.parent):
        check_writable(written)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.miniature.dry_run import rehearse_stages
    from hrvlab.miniature.recipe import MINIATURE, SHIPPED, SMOKE, run_stages, start_from
    from hrvlab.miniature.training import Budget

    recipe = replace(SMOKE if smoke else SHIPPED, side=int(side))
    if hours:
        budget = Budget(seconds=hours * 3600)
        recipe = replace(recipe, denoiser=budget, joint=budget)
    names = [stage] if stage else list(MINIATURE)
    if dry_run:
        for name, forecast in rehearse_stages(names, folder, recipe, start):
            say(f"{name}: {forecast}")
        return
    if start:
        with storing(folder, "nothing was trained yet"):
            start_from(start, folder)
    there = target.exists()
    run_stages(names, folder, target, recipe)
    if "assemble" in names:
        say(f"{'replaced' if there else 'made'}: {target}")
