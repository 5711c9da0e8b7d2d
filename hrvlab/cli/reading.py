"""``hrvlab capture``, ``votes`` and ``verify``: what heads look at."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from hrvlab.capture import capture as capture_attention
from hrvlab.cli.options import (
    BatchSize,
    Device,
    Model,
    Prompt,
    Prompts,
    Seed,
    Steps,
    out,
    prompts_from,
    say,
)
from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError
from hrvlab.models.load import MINIATURE, load
from hrvlab.prompts import read_prompts
from hrvlab.relevance.diagnosis import give_verdict
from hrvlab.relevance.fidelity import check_count
from hrvlab.relevance.vectors import relevance, save_relevance
from hrvlab.relevance.verify import COLUMNS, collect_as_published, find_published, report, rows
from hrvlab.relevance.votes import collect_votes
from hrvlab.store import storing, write_dataset

if TYPE_CHECKING:
    from distributed import Client


def capture(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the zarr store.")],
    prompt: Prompt = None,
    prompts: Prompts = None,
    model: Model = MINIATURE,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
) -> None:
    """Generate images and record how every head attends to every token."""
    texts = prompts_from(prompt, prompts)
    _refuse_existing(output)
    dataset = capture_attention(
        load(model, device=device),
        texts,
        seed=seed,
        num_inference_steps=steps,
        batch_size=batch_size,
    )
    write_dataset(dataset, output)
    sizes = ", ".join(f"{name} {size}" for name, size in dataset["attention"].sizes.items())
    say(f"captured {sizes}: {output}")


def votes(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Keeps every run; resumes if killed.")
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    concepts: Annotated[str, typer.Option(help="A YAML file, or a shipped set.")] = MINIATURE,
    model: Model = MINIATURE,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask scheduler, such as tcp://host:8786: its workers do the work."
        ),
    ] = None,
) -> None:
    """Collect the heads' votes for concepts and build Head Relevance Vectors from them."""
    texts = prompts_from(prompt, prompts)
    if scheduler and device:
        raise ParameterError("workers choose their own device; leave out --device")
    concept_set = ConceptSet.read(concepts)
    with _connect(scheduler) if scheduler else nullcontext() as client:
        counted = collect_votes(
            load(model, device="cpu" if client else device),
            concept_set,
            texts,
            seed=seed,
            num_inference_steps=steps,
            batch_size=batch_size,
            store=output,
            client=client,
        )
    counts = Path(counted.encoding["source"])
    vectors = counts.with_name("relevance.zarr")
    save_relevance(relevance(counted), vectors)
    say(f"votes of {len(texts)} prompts for {len(concept_set.names)} concepts: {counts}")
    say(f"Head Relevance Vectors: {vectors}")


def verify(
    model: Annotated[str, typer.Argument(help="A pipeline folder, or a hub id.")],
    published: Annotated[
        Path | None,
        typer.Option(help="category_vectors….npy, its head_index beside it; default: downloaded."),
    ] = None,
    prompts: Annotated[str, typer.Option(help="A list of prompts of both kinds.")] = "verify",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Keeps votes and the report; resumes if killed.")
    ] = Path("runs/verify"),
    seed: Seed = 0,
    batch_size: BatchSize = 1,
    device: Device = None,
) -> None:
    """Check Stable Diffusion 1.4 or SDXL on this machine against the published vectors."""
    concepts, texts = ConceptSet.read("published"), read_prompts(prompts)
    check_count(len(texts))
    pipe = load(model, device=device)
    vectors = find_published(pipe, concepts, published)
    counted = collect_as_published(
        pipe, concepts, texts, store=output, seed=seed, batch_size=batch_size
    )
    verdict = give_verdict(counted, vectors)
    page = Path(counted.encoding["source"]).with_name("report.md")
    with storing(page):
        page.write_text(report(verdict, counted, vectors), encoding="utf-8")
    table = Table("concept", *COLUMNS, box=None)
    for row in rows(verdict):
        table.add_row(*map(Text, row))
    out.print(table)
    say(f"{'passed' if verdict.passed else 'FAILED'}, {verdict.kind}: {verdict.message}")
    say(f"report: {page}")
    if not verdict.passed:
        raise typer.Exit(1)


def _connect(scheduler: str) -> Client:
    # Here, because dask takes half a second that no other run should wait.
    from hrvlab.cluster import connect

    return connect(scheduler)


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise ParameterError(f"{output} is there already; give another --output or remove it")
