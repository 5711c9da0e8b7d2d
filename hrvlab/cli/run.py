"""``hrvlab run``: execute a chapter."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hrvlab.cli.options import DryRun, out, path_option, say
from hrvlab.publish.chapters import Chapter, find_chapter, find_checkout
from hrvlab.publish.pages import Page, plan_page
from hrvlab.publish.parameters import parse_assignments, read_parameter_file

Output = Annotated[
    Path | None,
    path_option(
        "--output", "-o", help="Folder for pages and the book; default: the checkout.", folder=True
    ),
]
StartTimeout = Annotated[
    int, typer.Option(min=1, help="Seconds that the kernel of a chapter may take to start.")
]
START_TIMEOUT = 300


def run(
    chapter: Annotated[str, typer.Argument(help="Name of a notebook, such as 'capture'.")],
    file: Annotated[
        Path | None, path_option("--file", "-f", help="YAML file of parameters.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME=VALUE", help="A parameter; may be given several times."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run and its page; default: from the file or parameters."),
    ] = None,
    output: Output = None,
    start_timeout: StartTimeout = START_TIMEOUT,
    dry_run: DryRun = False,
    help_parameters: Annotated[
        bool, typer.Option("--help-parameters", help="List the chapter's parameters and exit.")
    ] = False,
) -> None:
    """Execute a chapter with your parameters and keep it as a page of the book."""
    checkout = find_checkout()
    found = find_chapter(checkout, chapter)
    if help_parameters:
        _list_parameters(found)
        return
    given = read_parameter_file(file) if file else {}
    given |= parse_assignments(found.parameters, parameter or [])
    run_name = name or (file.stem if file and not parameter else None)
    page = plan_page(checkout, found, given, run_name, output=output)
    if dry_run:
        say(forecast_page(page))
        return
    with out.status(f"executing {found.name}"):
        say(make_page(page, start_timeout))
    say(f"to render the book: hrvlab book{f' --output {output}' if output else ''}")


def make_page(page: Page, start_timeout: int = START_TIMEOUT) -> str:
    """Execute a page unless it is finished, and return a line that says what was done."""
    if page.finished:
        return f"unchanged: {page.path}"
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.publish.runs import execute

    begun = perf_counter()
    replaced = execute(page, start_timeout)
    spent = f"({perf_counter() - begun:.0f} s)"
    return f"{'replaced' if replaced else 'executed'}: {page.path} {spent}"


def forecast_page(page: Page) -> str:
    """Return a line that says what executing a page takes."""
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.publish.rehearsal import rehearse_page

    return rehearse_page(page)


def _list_parameters(chapter: Chapter) -> None:
    table = Table("parameter", "type", "default", "", box=None, title=chapter.title)
    for p in chapter.parameters:
        table.add_row(*(Text(cell) for cell in (p.name, p.annotation, repr(p.default), p.help)))
    out.print(table)
