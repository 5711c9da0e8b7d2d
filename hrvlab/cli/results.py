"""``hrvlab results`` and ``check-results``: make results of studies, and check those that ship."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hrvlab.cli.clusters import Cluster, check_cluster
from hrvlab.cli.options import (
    LARGEST_SEED,
    Column,
    Device,
    DryRun,
    Prompts,
    out,
    path_option,
    say,
)
from hrvlab.cli.own_results import Own, make_own_results
from hrvlab.cli.takes import takes
from hrvlab.errors import ParameterError
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE
from hrvlab.results.registry import find_study, select_studies

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import Study

WORK = Path("runs/results")
Names = Annotated[list[str] | None, typer.Argument(help="Names of studies; default: all of them.")]


def _check_share(share: float) -> float:
    if math.isnan(share):
        raise typer.BadParameter("nan is not a share; give a number from 0 to 1")
    return share


@takes(loading=LoadOptions, generating=GenerationOptions)
def results(
    study: Names = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Of your own: a pipeline folder, file or hub id."),
    ] = None,
    concepts: Annotated[
        str | None, typer.Option(help="For your model: 'miniature', 'published', or a YAML file.")
    ] = None,
    prompts: Prompts = None,
    column: Column = None,
    cases: Annotated[
        str | None,
        typer.Option(help="'miniature', 'published', or a folder of lists such as editing.yaml."),
    ] = None,
    clip: Annotated[
        str | None, typer.Option(help="The CLIP that scores: 'miniature', a folder, or a hub id.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME=VALUE", help="Of studies, such as weakening.draws=2."),
    ] = None,
    output: Annotated[
        Path | None,
        path_option("--output", "-o", folder=True, help="Folder of your results and their pages."),
    ] = None,
    work: Annotated[
        Path | None,
        path_option(
            "--work",
            folder=True,
            help="Of finished units, for resuming; default: runs/results, or work in --output.",
        ),
    ] = None,
    cluster: Cluster = None,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Recompute the shipped results of the miniature, or run its studies on a model of your own.

    Without --model: takes hours on two CPU cores. With it:
    hrvlab results --model FOLDER --clip FOLDER --concepts published --prompts imagenet -o mine
    """
    names = select_studies(study or ())
    given: dict[str, Any] = {
        "concepts": concepts,
        "prompts": prompts,
        "column": column,
        "cases": cases,
    }
    given |= {"clip": clip, "parameter": parameter, "output": output, "cluster": cluster}
    check_cluster(cluster, loading, dry_run)
    if model is not None:
        own = Own(study or [], model, {**given, "work": work}, loading, generating)
        make_own_results(own, dry_run)
        return
    given |= _changed(replace(loading, device=None)) | _changed(generating)
    if needless := [name for name, value in given.items() if value not in (None, [])]:
        flag = "-p" if needless[0] == "parameter" else f"--{needless[0].replace('_', '-')}"
        raise ParameterError(
            f"{flag} is for a model of your own; give it as --model, or leave both out to "
            "recompute the shipped results"
        )
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.models.load import load
    from hrvlab.results.make import make_result, results_path
    from hrvlab.storage.atomic import check_writable

    studies = [find_study(name) for name in names]
    if dry_run:
        _forecast(studies, load(MINIATURE, device=loading.device), 1.0)
        return
    check_writable(results_path())
    pipe = load(MINIATURE, device=loading.device)
    for one in studies:
        done = "replaced" if (results_path() / one.name).exists() else "made"
        say(f"{done}: {make_result(one, pipe, work or WORK, results_path())}")


def _changed(options: LoadOptions | GenerationOptions) -> dict[str, Any]:
    """Return the options that differ from their defaults; no value at all differs from none."""
    usual = vars(type(options)())
    return {
        name: value
        for name, value in vars(options).items()
        if value != usual[name] and value not in ([], ())
    }


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
