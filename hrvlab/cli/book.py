"""``hrvlab book``: render the book."""

from __future__ import annotations

from typing import Annotated

import typer

from hrvlab.cli.options import DryRun, out, say
from hrvlab.cli.run import START_TIMEOUT, Output, StartTimeout, forecast_page, make_page
from hrvlab.publish.book import render, stage
from hrvlab.publish.chapters import find_chapter, find_chapters, find_checkout, find_scratch
from hrvlab.publish.pages import plan_page
from hrvlab.publish.queue import make_all


def book(
    execute: Annotated[
        bool, typer.Option("--execute", help="First execute all chapters that have changed.")
    ] = False,
    output: Output = None,
    start_timeout: StartTimeout = START_TIMEOUT,
    dry_run: DryRun = False,
) -> None:
    """Render the book as web pages."""
    checkout = find_checkout()
    folder = output or checkout
    if execute or dry_run:
        for path in find_scratch(checkout):
            say(f"left out: {path}, which is no chapter: it is a copy, or has no title")
        chapters = [find_chapter(checkout, name) for name in find_chapters(checkout)]
        pages = [plan_page(checkout, chapter, {}, output=folder) for chapter in chapters]
        if dry_run:
            for page in pages:
                say(forecast_page(page))
            return
        with out.status("executing") as status:
            make_all(
                pages,
                lambda page: say(make_page(page, start_timeout)),
                lambda names: status.update(f"executing {', '.join(names)}"),
            )
    with out.status("rendering the book"):
        stage(checkout, folder)
        first = render(folder)
    say(f"open {first}")
