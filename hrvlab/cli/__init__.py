"""The command line of hrvlab."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import transformers
import typer
from rich.text import Text

from hrvlab.cli.chapters import book, run
from hrvlab.cli.model import train
from hrvlab.cli.options import err, out
from hrvlab.cli.reading import capture, verify, votes
from hrvlab.cli.results import check_results, results
from hrvlab.errors import HrvlabError

app = typer.Typer(
    help="See which attention heads of a text-to-image model stand for which visual concept.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (run, book, capture, votes, verify, results, check_results):
    app.command()(command)
model_app = typer.Typer(help="Make the miniature anew.", no_args_is_help=True)
model_app.command()(train)
app.add_typer(model_app, name="model")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """See which attention heads of a text-to-image model stand for which visual concept."""
    if version:
        out.print(installed_version("hrvlab"))
        raise typer.Exit


def main() -> None:
    """Run the command line; an error of ours is one red line."""
    # Loading a pipeline would tell of torchvision, which nothing here needs.
    transformers.logging.set_verbosity_error()
    try:
        app(prog_name="hrvlab")
    except HrvlabError as error:
        err.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        sys.exit(1)
