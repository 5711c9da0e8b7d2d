"""Runs of chapters: planned pages of the book, made by executing their notebooks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError

from hrvlab.errors import HrvlabError
from hrvlab.publish.chapters import Chapter
from hrvlab.publish.kernels import kernel_manager
from hrvlab.publish.pages import DEFAULT, KEY
from hrvlab.publish.parameters import fill

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from hrvlab.publish.pages import Page

WIDGET = "application/vnd.jupyter.widget-view+json"
# Figures stay data until a page renders them; progress bars do not belong on a page.
KERNEL_ENVIRONMENT = {"PLOTLY_RENDERER": "plotly_mimetype", "TQDM_DISABLE": "1"}


class RunError(HrvlabError):
    """A chapter whose execution failed."""


def execute(page: Page) -> None:
    """Execute the notebook of a page, and store it there.

    Parameters
    ----------
    page : Page

    Raises
    ------
    RunError
        If a cell fails. An earlier page stays as it was, and the failed notebook is kept beside it
        as ``.partial.ipynb``, which the book leaves out.
    """
    name = page.chapter.name
    page.path.parent.mkdir(parents=True, exist_ok=True)
    partial = page.path.with_suffix(".partial.ipynb")
    with _environment(KERNEL_ENVIRONMENT):
        try:
            papermill.execute_notebook(
                prepare(page),
                str(partial),
                kernel_name="python3",
                progress_bar=False,
                kernel_manager_class=kernel_manager(),
            )
        except papermill.PapermillExecutionError as error:
            line = error.source.strip().partition("\n")[0]
            reason = " ".join(str(error.evalue).split())
            raise RunError(
                f"chapter {name!r} failed in code cell {error.exec_count} ({line}): "
                f"{error.ename}: {reason}; the notebook up to there is {partial}"
            ) from error
        except DeadKernelError as error:
            raise RunError(
                f"chapter {name!r} failed: its kernel died, perhaps out of memory; "
                f"the notebook up to there is {partial}"
            ) from error
    executed = clean(nbformat.read(partial, as_version=4))
    executed.metadata[KEY] = page.key
    nbformat.write(executed, partial)
    partial.replace(page.path)


def prepare(page: Page) -> NotebookNode:
    """Build the notebook of a page, with its own title, its parameters and a provenance footer.

    Parameters
    ----------
    page : Page
        Its chapter stays as it is.
    """
    notebook = nbformat.reads(json.dumps(page.chapter.notebook), as_version=4)
    run = Chapter(page.chapter.name, notebook)
    if page.name != DEFAULT:
        changed = [
            f"`{p.name} = {shorten(repr(page.values[p.name]), 80)}`"
            for p in run.parameters
            if page.values[p.name] != p.default
        ]
        heading = [f"# {run.title}: {page.name}", f"This run sets {', '.join(changed)}."]
        first = run.cells[0]
        body = first["source"].partition("\n")[2]
        first["source"] = "\n\n".join(heading[: 1 + bool(changed)]) + f"\n{body}"
    if cell := run.parameters_cell:
        cell["source"] = fill(cell["source"], page.values)
    footer = (
        "from hrvlab.publish.footer import footer\n\n"
        f"footer(pipe, {f'{run.name}, {page.name}'!r}, {page.values!r})"
    )
    hidden = {"tags": ["remove-input"]}
    notebook.cells.append(nbformat.v4.new_code_cell(footer, metadata=hidden))
    return notebook


def clean(notebook: NotebookNode) -> NotebookNode:
    """Remove timings and live widgets from an executed notebook, in place, and return it."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for volatile in ("papermill", "execution"):
            cell.metadata.pop(volatile, None)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", ())]
    return notebook


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which kernels started inside inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
