"""The command line of hrvlab."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from rich.text import Text

from hrvlab.cli.book import book
from hrvlab.cli.capture import capture
from hrvlab.cli.model import train
from hrvlab.cli.options import err, out
from hrvlab.cli.results import check_results, results
from hrvlab.cli.run import run
from hrvlab.cli.verify import verify
from hrvlab.cli.votes import votes
from hrvlab.errors import HrvlabError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (run, book, capture, votes, verify, results, check_results):
    app.command()(command)
model_app = typer.Typer(help="Retrain the miniature.", no_args_is_help=True)
model_app.command()(train)
app.add_typer(model_app, name="model")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Measure how relevant each attention head of a text-to-image model is to visual concepts."""
    if version:
        out.print(installed_version("hrvlab"))
        raise typer.Exit


def main() -> None:
    """Run the command line; print an `HrvlabError` as one red line and exit with 1."""
    # Loading a pipeline would warn about torchvision, which nothing here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app(prog_name="hrvlab")
    except HrvlabError as error:
        err.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        sys.exit(1)
