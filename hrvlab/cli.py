"""The command line: ``hrvlab run``, ``book``, ``capture``, ``votes``, ``verify``, ``model``."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Literal

import transformers
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hrvlab.capture import capture as capture_attention
from hrvlab.concepts import ConceptSet
from hrvlab.errors import HrvlabError, ParameterError
from hrvlab.models.load import MINIATURE, load
from hrvlab.prompts import read_prompts
from hrvlab.publish import book as publish_book
from hrvlab.publish.chapters import Chapter, find_chapter, find_chapters, find_checkout
from hrvlab.publish.parameters import parse_assignments, read_parameter_file
from hrvlab.publish.runs import Run, execute
from hrvlab.relevance.diagnosis import give_verdict
from hrvlab.relevance.fidelity import check_count
from hrvlab.relevance.vectors import relevance, save_relevance
from hrvlab.relevance.verify import COLUMNS, collect_as_published, find_published, report, rows
from hrvlab.relevance.votes import collect_votes
from hrvlab.store import storing, write_dataset

app = typer.Typer(
    help="See which attention heads of a text-to-image model stand for which visual concept.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
model_app = typer.Typer(help="Make the miniature anew.", no_args_is_help=True)
app.add_typer(model_app, name="model")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Model = Annotated[
    str, typer.Option("--model", "-m", help="'miniature', a pipeline folder, or a hub id.")
]
Prompts = Annotated[
    str | None, typer.Option(help="A text file (one a line), a YAML file, or 'miniature'.")
]
StageName = Literal[
    "clip", "autoencoder", "judge", "denoiser", "reading", "refining", "assemble", "measure"
]
Seed = Annotated[int, typer.Option(help="Seed of the initial noise.")]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
BatchSize = Annotated[int, typer.Option(help="Images that go through the model together.")]
Device = Annotated[
    str | None, typer.Option(help="'cpu', 'cuda', 'mps', …; default: the accelerator there is.")
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """See which attention heads of a text-to-image model stand for which visual concept."""
    if version:
        out.print(installed_version("hrvlab"))
        raise typer.Exit


@app.command()
def run(
    chapter: Annotated[str, typer.Argument(help="Name of a notebook, such as 'capture'.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="YAML file of parameters.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="One parameter.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run and its page; default: after the file.")
    ] = None,
    help_parameters: Annotated[
        bool, typer.Option("--help-parameters", help="List the chapter's parameters and exit.")
    ] = False,
) -> None:
    """Execute a chapter under parameters of yours and keep it as a page of the book."""
    checkout = find_checkout()
    found = find_chapter(checkout, chapter)
    if help_parameters:
        _list_parameters(found)
        return
    given = read_parameter_file(file) if file else {}
    given |= parse_assignments(found.parameters, parameter or [])
    done = _execute(checkout, found, given, name or (file.stem if file and not parameter else None))
    _say(f"{'unchanged' if done.skipped else 'executed'}: {done.page}")
    _say("render it with: hrvlab book")


@app.command()
def book(
    execute: Annotated[
        bool, typer.Option("--execute", help="First execute every chapter that changed.")
    ] = False,
) -> None:
    """Render the book."""
    checkout = find_checkout()
    if execute:
        for name in find_chapters(checkout):
            done = _execute(checkout, find_chapter(checkout, name), {}, None)
            _say(f"{'unchanged' if done.skipped else 'executed'}: {name}")
    with out.status("rendering the book"):
        page = publish_book.render(checkout)
    _say(f"open {page}")


@app.command()
def capture(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the zarr store.")],
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="A prompt.")] = None,
    prompts: Prompts = None,
    model: Model = MINIATURE,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
) -> None:
    """Generate images and record how every head attends to every token."""
    texts = _prompts(prompt, prompts)
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
    _say(f"captured {sizes}: {output}")


@app.command()
def votes(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Keeps every run; resumes if killed.")
    ],
    prompt: Annotated[list[str] | None, typer.Option("--prompt", help="A prompt.")] = None,
    prompts: Prompts = None,
    concepts: Annotated[str, typer.Option(help="A YAML file, or a shipped set.")] = MINIATURE,
    model: Model = MINIATURE,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
) -> None:
    """Collect the heads' votes for concepts and build Head Relevance Vectors from them."""
    texts = _prompts(prompt, prompts)
    concept_set = ConceptSet.read(concepts)
    counted = collect_votes(
        load(model, device=device),
        concept_set,
        texts,
        seed=seed,
        num_inference_steps=steps,
        batch_size=batch_size,
        store=output,
    )
    counts = Path(counted.encoding["source"])
    vectors = counts.with_name("relevance.zarr")
    save_relevance(relevance(counted), vectors)
    _say(f"votes of {len(texts)} prompts for {len(concept_set.names)} concepts: {counts}")
    _say(f"Head Relevance Vectors: {vectors}")


@app.command()
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
    _say(f"{'passed' if verdict.passed else 'FAILED'}, {verdict.kind}: {verdict.message}")
    _say(f"report: {page}")
    if not verdict.passed:
        raise typer.Exit(1)


@model_app.command()
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
    names: list[str] = [stage] if stage else list(STAGES)
    run_stages(names, folder, target or folder / "pipeline", SMOKE if smoke else SHIPPED)


def _execute(checkout: Path, chapter: Chapter, given: dict[str, object], name: str | None) -> Run:
    with out.status(f"executing {chapter.name}"):
        return execute(checkout, chapter, given, name)


def _list_parameters(chapter: Chapter) -> None:
    table = Table("parameter", "type", "default", "", box=None, title=chapter.title)
    for p in chapter.parameters:
        table.add_row(*(Text(cell) for cell in (p.name, p.annotation, repr(p.default), p.help)))
    out.print(table)


def _prompts(prompt: list[str] | None, prompts: str | None) -> list[str]:
    if bool(prompt) == bool(prompts):
        raise ParameterError("give either --prompt, once or more, or --prompts with a file")
    return prompt or read_prompts(str(prompts))


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise ParameterError(f"{output} is there already; give another --output or remove it")


def _say(line: str) -> None:
    out.print(Text(line), soft_wrap=True)


def main() -> None:
    """Run the command line; an error of ours is one red line."""
    # Loading a pipeline would tell of torchvision, which nothing here needs.
    transformers.logging.set_verbosity_error()
    try:
        app(prog_name="hrvlab")
    except HrvlabError as error:
        err.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        sys.exit(1)
