"""``hrvlab verify``: check a model against published vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hrvlab.cli.options import BatchSize, Column, DryRun, Seed, out, path_option, prompts_from, say
from hrvlab.cli.takes import takes
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.locate import locate_model
from hrvlab.options import LoadOptions
from hrvlab.replication.arrays import find_head_index
from hrvlab.replication.fidelity import check_count


# The scheduler is part of the published settings.
@takes(loading=LoadOptions, but=["scheduler"])
def verify(
    model: Annotated[str, typer.Argument(help="A pipeline folder or a hub id.")],
    published: Annotated[
        Path | None,
        path_option(
            "--published",
            help="A category_vectors….npy, with its head_index beside it; default: downloaded.",
        ),
    ] = None,
    prompts: Annotated[
        str,
        typer.Option(help="File of prompts (lines, CSV, TSV, JSON, YAML, parquet), or 'verify'."),
    ] = "verify",
    column: Column = None,
    output: Annotated[
        Path,
        path_option(
            "--output",
            "-o",
            folder=True,
            help="Folder of votes and report; an interrupted run resumes.",
        ),
    ] = Path("runs/verify"),
    seed: Seed = 0,
    batch_size: BatchSize = 1,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
) -> None:
    """Check Stable Diffusion 1.4 or SDXL on this machine against the published vectors."""
    texts = prompts_from(None, prompts, column)
    check_count(len(texts))
    if published:
        find_head_index(published)
    locate_model(model)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.dry_run import rehearse_votes
    from hrvlab.models.load import load
    from hrvlab.replication.diagnosis import diagnose
    from hrvlab.replication.verify import (
        COLUMNS,
        PUBLISHED_CALL,
        collect_as_published,
        find_published,
        published_sampler,
        report,
        rows,
    )
    from hrvlab.storage.atomic import storing, write_whole

    concepts = ConceptSet.read("published")
    pipe = load(model, **vars(loading))
    if dry_run:
        with published_sampler(pipe):
            given = {**PUBLISHED_CALL, "seed": seed, "batch_size": batch_size}
            say(f"forecast: {rehearse_votes(pipe, concepts, texts, **given)}")
        return
    vectors = find_published(pipe, concepts, published)
    run = collect_as_published(
        pipe, concepts, texts, store=output, seed=seed, batch_size=batch_size
    )
    verdict = diagnose(run.data, vectors)
    page = run.stored() / "report.md"
    content = report(verdict, run.data, vectors).encode()
    with storing(page, "votes are kept"):
        if not page.exists() or page.read_bytes() != content:
            write_whole(page, content)
    table = Table("concept", *COLUMNS, box=None)
    for row in rows(verdict):
        table.add_row(*map(Text, row))
    out.print(table)
    say(f"{'passed' if verdict.passed else 'FAILED'}, {verdict.kind}: {verdict.message}")
    say(f"report: {page}")
    if not verdict.passed:
        raise typer.Exit(1)
