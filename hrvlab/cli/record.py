"""``hrvlab record``: keep queries of a model, to ask its heads about words later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hrvlab.cli.clusters import Cluster, check_cluster, connected
from hrvlab.cli.options import (
    Column,
    DryRun,
    Model,
    Prompt,
    Prompts,
    Seed,
    check_steps,
    path_option,
    prompts_from,
    say,
)
from hrvlab.cli.takes import takes
from hrvlab.models.locate import locate_model
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE


@takes(loading=LoadOptions, generating=GenerationOptions)
def record(
    output: Annotated[
        Path,
        path_option(
            "--output", "-o", folder=True, help="Folder of all pools; an interrupted run resumes."
        ),
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    positions: Annotated[
        int, typer.Option(min=2, help="Positions of the grid that are kept, an even number.")
    ] = 16,
    calls: Annotated[
        int, typer.Option(min=1, help="Denoiser calls of each prompt that are kept.")
    ] = 8,
    budget: Annotated[float, typer.Option(min=0, help="Space that the pool may take, in GB.")] = 8,
    model: Model = MINIATURE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    cluster: Cluster = None,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Record queries of a model's heads, which `hrvlab ask` asks about words without the model."""
    texts = prompts_from(prompt, prompts, column)
    check_cluster(cluster, loading, dry_run)
    locate_model(model)
    kept = {"positions": positions, "calls": calls, "budget_bytes": int(budget * 1e9)}
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.dry_run import rehearse_queries
    from hrvlab.models.load import load
    from hrvlab.reservoir.record import record_queries

    with connected(cluster) as client:
        pipe = load(model, **vars(replace(loading, device="cpu") if client else loading))
        check_steps(pipe, generating.steps)
        given = {"seed": seed, **kept, **generating.call}
        if dry_run:
            say(f"forecast: {rehearse_queries(pipe, texts, **given)}")
            return
        pool = record_queries(pipe, texts, store=output, client=client, **given)
    say(f"queries of {len(texts)} prompts: {pool.folder}")
