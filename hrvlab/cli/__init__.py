"""The command line of hrvlab."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from rich.text import Text

from hrvlab.cli.ask import ask
from hrvlab.cli.atlas import atlas
from hrvlab.cli.book import book
from hrvlab.cli.capture import capture
from hrvlab.cli.edit import app as edit_app
from hrvlab.cli.ends import Ending, end
from hrvlab.cli.generate import generate
from hrvlab.cli.model import train
from hrvlab.cli.options import err, out
from hrvlab.cli.record import record
from hrvlab.cli.results import check_results, results
from hrvlab.cli.run import run
from hrvlab.cli.verify import verify
from hrvlab.cli.votes import votes
from hrvlab.cli.words import words
from hrvlab.errors import HrvlabWarning

DEBUG = "--debug"
PYTHONS_OWN = warnings.showwarning

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    run,
    book,
    generate,
    capture,
    votes,
    atlas,
    record,
    ask,
    verify,
    results,
    check_results,
):
    app.command()(command)
model_app = typer.Typer(
    help="Retrain the miniature, or list the words that it knows.", no_args_is_help=True
)
model_app.command()(train)
model_app.command()(words)
app.add_typer(edit_app, name="edit")
app.add_typer(model_app, name="model")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show where in the code a command failed.")
    ] = False,
) -> None:
    """Measure how relevant each attention head of a text-to-image model is to visual concepts.

    Exit codes: 0, done; 1, refused or failed, as one line says; 2, a wrong command line; 70, a
    failure that was not foreseen; 130 and 143, stopped by Ctrl-C and by SIGTERM.
    """
    if isinstance(context.obj, Ending):
        context.obj.command, context.obj.debug = context.invoked_subcommand or "", debug
    if version:
        out.print(installed_version("hrvlab"))
        raise typer.Exit


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print a warning of hrvlab as one line; those of libraries as Python does."""
    if issubclass(category, HrvlabWarning):
        err.print(Text(f"warning: {message}", style="yellow"), soft_wrap=True)
    else:
        PYTHONS_OWN(message, category, *where)


def main() -> None:
    """Run the command line; if it fails or is stopped, print one red line."""
    # Loading a pipeline would warn about torchvision, which nothing here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    sys.exit(end(_run))


def _run(ending: Ending) -> object:
    """Run the command line; return its exit code or None."""
    # People add it at the end, to the command that failed.
    given = [text for text in sys.argv[1:] if text != DEBUG]
    first = [DEBUG] if DEBUG in sys.argv else []
    return app([*first, *given], prog_name="hrvlab", standalone_mode=False, obj=ending)
