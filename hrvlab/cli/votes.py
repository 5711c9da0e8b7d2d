"""``hrvlab votes``: build Head Relevance Vectors."""

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
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.locate import locate_model
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE


@takes(loading=LoadOptions, generating=GenerationOptions)
def votes(
    output: Annotated[
        Path,
        path_option(
            "--output", "-o", folder=True, help="Folder of all runs; an interrupted run resumes."
        ),
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    concepts: Annotated[
        str, typer.Option(help="'miniature', 'published', or a YAML file.")
    ] = MINIATURE,
    model: Model = MINIATURE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    cluster: Cluster = None,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Collect the votes of heads for concepts and build Head Relevance Vectors from them."""
    texts = prompts_from(prompt, prompts, column)
    concept_set = ConceptSet.read(concepts)
    check_cluster(cluster, loading, dry_run)
    locate_model(model)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.dry_run import rehearse_votes
    from hrvlab.models.load import load
    from hrvlab.relevance.io import keep_relevance
    from hrvlab.relevance.vectors import relevance
    from hrvlab.relevance.votes import run_votes
    from hrvlab.storage.units import DATA

    with connected(cluster) as client:
        pipe = load(model, **vars(replace(loading, device="cpu") if client else loading))
        check_steps(pipe, generating.steps)
        if dry_run:
            forecast = rehearse_votes(pipe, concept_set, texts, seed=seed, **generating.call)
            say(f"forecast: {forecast}")
            return
        run = run_votes(
            pipe,
            concept_set,
            texts,
            seed=seed,
            store=output,
            client=client,
            **generating.call,
        )
    vectors = run.stored() / "relevance.zarr"
    done = keep_relevance(relevance(run.data), vectors)
    counts = run.stored() / DATA
    say(f"votes of {len(texts)} prompts for {len(concept_set.names)} concepts: {counts}")
    say(f"Head Relevance Vectors {done}: {vectors}")
