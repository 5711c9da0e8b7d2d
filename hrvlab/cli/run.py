"""``hrvlab run``: execute a chapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hrvlab.cli.options import out, say
from hrvlab.publish.chapters import Chapter, find_chapter, find_checkout
from hrvlab.publish.pages import Page, plan_page
from hrvlab.publish.parameters import parse_assignments, read_parameter_file


def run(
    chapter: Annotated[str, typer.Argument(help="Name of a notebook, such as 'capture'.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="YAML file of parameters.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME=VALUE", help="A parameter; may be given several times."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run and its page; default: from the file or parameters."),
    ] = None,
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
    make_page(plan_page(checkout, found, given, run_name))
    say("to render the book: hrvlab book")


def make_page(page: Page) -> None:
    """Execute a page, unless it is finished, and print which of both."""
    if page.finished:
        say(f"unchanged: {page.path}")
        return
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.publish.runs import execute

    with out.status(f"executing {page.chapter.name}"):
        execute(page)
    say(f"executed: {page.path}")


def _list_parameters(chapter: Chapter) -> None:
    table = Table("parameter", "type", "default", "", box=None, title=chapter.title)
    for p in chapter.parameters:
        table.add_row(*(Text(cell) for cell in (p.name, p.annotation, repr(p.default), p.help)))
    out.print(table)
