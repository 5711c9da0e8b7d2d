"""``hrvlab book``: render the book."""

from __future__ import annotations

from typing import Annotated

import typer

from hrvlab.cli.options import out, say
from hrvlab.publish.book import render
from hrvlab.publish.chapters import find_chapter, find_chapters, find_checkout
from hrvlab.publish.runs import execute as execute_chapter


def book(
    execute: Annotated[
        bool, typer.Option("--execute", help="First execute all chapters that have changed.")
    ] = False,
) -> None:
    """Render the book as web pages."""
    checkout = find_checkout()
    if execute:
        for name in find_chapters(checkout):
            with out.status(f"executing {name}"):
                done = execute_chapter(checkout, find_chapter(checkout, name), {})
            say(f"{'unchanged' if done.skipped else 'executed'}: {name}")
    with out.status("rendering the book"):
        page = render(checkout)
    say(f"open {page}")
