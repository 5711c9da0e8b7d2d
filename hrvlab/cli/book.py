"""``hrvlab book``: render the book."""

from __future__ import annotations

from typing import Annotated

import typer

from hrvlab.cli.options import out, say
from hrvlab.cli.run import make_page
from hrvlab.publish.book import render
from hrvlab.publish.chapters import find_chapter, find_chapters, find_checkout
from hrvlab.publish.pages import plan_page


def book(
    execute: Annotated[
        bool, typer.Option("--execute", help="First execute all chapters that have changed.")
    ] = False,
) -> None:
    """Render the book as web pages."""
    checkout = find_checkout()
    if execute:
        chapters = [find_chapter(checkout, name) for name in find_chapters(checkout)]
        for page in [plan_page(checkout, chapter, {}) for chapter in chapters]:
            make_page(page)
    with out.status("rendering the book"):
        first = render(checkout)
    say(f"open {first}")
