"""``hrvlab votes``: build Head Relevance Vectors."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrvlab.cli.options import (
    BatchSize,
    Device,
    Model,
    Prompt,
    Prompts,
    Seed,
    Steps,
    check_steps,
    path_option,
    prompts_from,
    say,
)
from hrvlab.errors import ParameterError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.locate import locate_model
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from distributed import Client

ADDRESS = re.compile(r"(\w+://)?[^/\s]+:\d+")


def votes(
    output: Annotated[
        Path,
        path_option(
            "--output", "-o", folder=True, help="Folder of all runs; an interrupted run resumes."
        ),
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    concepts: Annotated[
        str, typer.Option(help="'miniature', 'published', or a YAML file.")
    ] = MINIATURE,
    model: Model = MINIATURE,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask scheduler, such as tcp://host:8786, to use its workers."
        ),
    ] = None,
) -> None:
    """Collect the votes of heads for concepts and build Head Relevance Vectors from them."""
    texts = prompts_from(prompt, prompts)
    concept_set = ConceptSet.read(concepts)
    if scheduler and device:
        raise ParameterError("workers choose their own device; leave out --device")
    if scheduler and not ADDRESS.fullmatch(scheduler):
        raise ParameterError(
            f"there is no dask scheduler at {scheduler!r}: an address has a host and a port, such "
            "as 'tcp://host:8786', which `dask scheduler` prints when it starts"
        )
    locate_model(model)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.models.load import load
    from hrvlab.relevance.io import keep_relevance
    from hrvlab.relevance.vectors import relevance
    from hrvlab.relevance.votes import run_votes
    from hrvlab.storage.units import DATA

    with _connect(scheduler) if scheduler else nullcontext() as client:
        pipe = load(model, device="cpu" if client else device)
        check_steps(pipe, steps)
        run = run_votes(
            pipe,
            concept_set,
            texts,
            seed=seed,
            num_inference_steps=steps,
            batch_size=batch_size,
            store=output,
            client=client,
        )
    vectors = run.stored() / "relevance.zarr"
    done = keep_relevance(relevance(run.data), vectors)
    counts = run.stored() / DATA
    say(f"votes of {len(texts)} prompts for {len(concept_set.names)} concepts: {counts}")
    say(f"Head Relevance Vectors {done}: {vectors}")


def _connect(scheduler: str) -> Client:
    # Imported here because dask takes half a second, which other runs need not wait.
    from hrvlab.cluster import connect

    return connect(scheduler)
