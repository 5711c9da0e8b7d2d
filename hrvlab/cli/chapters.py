"""``hrvlab run`` and ``hrvlab book``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hrvlab.cli.options import out, say
from hrvlab.publish import book as publish_book
from hrvlab.publish.chapters import Chapter, find_chapter, find_chapters, find_checkout
from hrvlab.publish.parameters import parse_assignments, read_parameter_file
from hrvlab.publish.runs import Run
from hrvlab.publish.runs import execute as execute_chapter


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
    say(f"{'unchanged' if done.skipped else 'executed'}: {done.page}")
    say("render it with: hrvlab book")


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
            say(f"{'unchanged' if done.skipped else 'executed'}: {name}")
    with out.status("rendering the book"):
        page = publish_book.render(checkout)
    say(f"open {page}")


def _execute(checkout: Path, chapter: Chapter, given: dict[str, object], name: str | None) -> Run:
    with out.status(f"executing {chapter.name}"):
        return execute_chapter(checkout, chapter, given, name)


def _list_parameters(chapter: Chapter) -> None:
    table = Table("parameter", "type", "default", "", box=None, title=chapter.title)
    for p in chapter.parameters:
        table.add_row(*(Text(cell) for cell in (p.name, p.annotation, repr(p.default), p.help)))
    out.print(table)
