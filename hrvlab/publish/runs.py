"""Runs of chapters: planned pages of the book, made by executing their notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import nbformat

from hrvlab.atlas.pages import CARRIER
from hrvlab.errors import StoreError
from hrvlab.publish.chapters import Chapter
from hrvlab.publish.execution import START_TIMEOUT, RunError, execute_cells, one_line
from hrvlab.publish.pages import KEY, PARTIAL, check_output
from hrvlab.publish.parameters import fill
from hrvlab.storage.atomic import storing, write_whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from hrvlab.publish.pages import Page

KEPT = "the page is as it was, and units in the chapter's store are kept"
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(page: Page, start_timeout: int = START_TIMEOUT) -> bool:
    """Execute the notebook of a page, and store it there.

    Parameters
    ----------
    page : Page
    start_timeout : int
        Seconds that the kernel may take to start.

    Returns
    -------
    bool
        Whether the page took the place of an earlier one.

    Raises
    ------
    StoreError
        If the page cannot be written, which is tried before anything is executed, or the chapter
        is not a valid notebook.
    RunError
        If the kernel does not start, or a cell fails. An earlier page stays as it was, and the
        failed notebook is kept beside it as ``.partial.ipynb``, which the book leaves out.
    """
    check_output(page.path.parent)
    notebook = prepare(page)
    partial = page.path.with_suffix(PARTIAL)
    try:
        executed = execute_cells(notebook, page.folder, start_timeout)
    except RunError as error:
        _write(clean(error.notebook or notebook), partial)
        raise RunError(
            f"chapter {page.chapter.name!r} failed: {error}; the notebook up to there is {partial}"
        ) from error
    clean(executed).metadata[KEY] = page.mark
    replaced = page.path.exists()
    _write(executed, page.path)
    partial.unlink(missing_ok=True)
    return replaced


def prepare(page: Page) -> NotebookNode:
    """Build the notebook of a page, with its own title, its parameters and a provenance footer.

    Parameters
    ----------
    page : Page
        Its chapter stays as it is.

    Raises
    ------
    StoreError
        If the chapter is not a valid notebook.
    """
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, **page.chapter.notebook}
    try:
        notebook = nbformat.reads(json.dumps(content), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises many kinds
        reason = one_line(str(error).partition("\n")[0])
        raise StoreError(
            f"the notebook of chapter {page.chapter.name!r} is not valid: {reason}"
        ) from error
    run = Chapter(page.chapter.name, notebook)
    if page.name is not None:
        changed = [
            _as_code(f"{p.name} = {shorten(repr(page.values[p.name]), 80)}")
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
        f"footer(globals().get('pipe'), {page.label!r}, {page.values!r})"
    )
    hidden = {"tags": ["remove-input"]}
    notebook.cells.append(nbformat.v4.new_code_cell(footer, metadata=hidden))
    return notebook


def clean(notebook: NotebookNode) -> NotebookNode:
    """Remove timings and live widgets from an executed notebook, in place, and return it.

    An explorer stays, as the element that its page brings to life.
    """
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for volatile in ("papermill", "execution"):
            cell.metadata.pop(volatile, None)
        if cell.cell_type == "code":
            for output in cell.outputs:
                live = output.get("data", {}).pop(WIDGET, None) is not None
                if live and CARRIER not in output.data.get("text/html", ""):
                    output.data.clear()
            cell.outputs = [o for o in cell.outputs if o.get("data", True)]
    return notebook


def _write(notebook: NotebookNode, path: Path) -> None:
    with storing(path, KEPT):
        write_whole(path, nbformat.writes(notebook).encode())


def _as_code(text: str) -> str:
    """Return a text as code in Markdown, which may hold backticks itself."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
