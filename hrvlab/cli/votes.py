"""``hrvlab votes``: build Head Relevance Vectors."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from hrvlab.errors import ParameterError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.locate import locate_model
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from distributed import Client

ADDRESS = re.compile(r"(\w+://)?[^/\s]+:\d+")


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
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask scheduler, such as tcp://host:8786, to use its workers."
        ),
    ] = None,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Collect the votes of heads for concepts and build Head Relevance Vectors from them."""
    texts = prompts_from(prompt, prompts, column)
    concept_set = ConceptSet.read(concepts)
    if ADDRESS.fullmatch(loading.scheduler or ""):
        raise ParameterError(
            "--scheduler is the model's own; give the address of dask's as --cluster "
            f"{loading.scheduler}"
        )
    if cluster and dry_run:
        raise ParameterError("--dry-run measures on this machine; leave out --cluster")
    if cluster and loading.device:
        raise ParameterError("workers choose their own device; leave out --device")
    if cluster and not ADDRESS.fullmatch(cluster):
        raise ParameterError(
            f"there is no dask scheduler at {cluster!r}: an address has a host and a port, such "
            "as 'tcp://host:8786', which `dask scheduler` prints when it starts"
        )
    locate_model(model)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.dry_run import rehearse_votes
    from hrvlab.models.load import load
    from hrvlab.relevance.io import keep_relevance
    from hrvlab.relevance.vectors import relevance
    from hrvlab.relevance.votes import run_votes
    from hrvlab.storage.units import DATA

    with _connect(cluster) if cluster else nullcontext() as client:
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


def _connect(address: str) -> Client:
    # Imported here because dask takes half a second, which other runs need not wait.
    from hrvlab.cluster import connect

    return connect(address)
