"""Runs of chapters: notebooks executed with checked parameters, stored as pages of the book."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from hrvlab.errors import HrvlabError, ParameterError
from hrvlab.paths import data_path
from hrvlab.provenance import LIBRARIES
from hrvlab.publish.chapters import Chapter
from hrvlab.publish.parameters import check_parameters, fill

DEFAULT = "default"
RUN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.IGNORECASE)
WIDGET = "application/vnd.jupyter.widget-view+json"
# Figures stay data until a page renders them; progress bars do not belong on a page.
KERNEL_ENVIRONMENT = {"PLOTLY_RENDERER": "plotly_mimetype", "TQDM_DISABLE": "1"}


class RunError(HrvlabError):
    """A chapter whose execution failed."""


@dataclass(frozen=True)
class ChapterRun:
    """The page of an executed chapter.

    Parameters
    ----------
    page : Path
        The executed notebook.
    skipped : bool
        Whether the page was already there, made from the same inputs.
    """

    page: Path
    skipped: bool


def page_path(root: Path, chapter: Chapter, name: str) -> Path:
    """Return the path of a run's page.

    Parameters
    ----------
    root : Path
        The source checkout.
    chapter : Chapter
    name : str
        Of the run.

    Returns
    -------
    Path
        For the default run, ``book/runs/{chapter}.ipynb``; the other runs of the chapter are in
        the folder of the same name.
    """
    runs = root / "book" / "runs"
    if name == DEFAULT:
        return runs / f"{chapter.name}.ipynb"
    return runs / chapter.name / f"{name}.ipynb"


def name_run(chapter: Chapter, values: Mapping[str, Any]) -> str:
    """Derive a run's name from the parameters that differ from the chapter's defaults.

    Parameters
    ----------
    chapter : Chapter
    values : mapping of str to object
        The value of every parameter.
    """
    changed = {p.name: values[p.name] for p in chapter.parameters if values[p.name] != p.default}
    if not changed:
        return DEFAULT
    words = re.sub(r"[^a-z0-9]+", "-", str(changed).lower()).strip("-")
    return f"{words[:40].rstrip('-')}-{_sha256(json.dumps(changed, sort_keys=True))[:4]}"


def execute(
    root: Path, chapter: Chapter, given: Mapping[str, Any], name: str | None = None
) -> ChapterRun:
    """Execute a chapter, unless there is a page made from the same inputs.

    Parameters
    ----------
    root : Path
        The source checkout.
    chapter : Chapter
    given : mapping of str to object
        Parameters that differ from the chapter's defaults.
    name : str, optional
        Of the run; default: derived from the parameters.

    Returns
    -------
    ChapterRun

    Raises
    ------
    ParameterError
        If a parameter or the name is invalid; nothing has been executed then.
    RunError
        If a cell fails. An earlier page stays as it was, and the failed notebook is kept beside it
        as ``.partial.ipynb``, which the book leaves out.
    """
    values = check_parameters(chapter.parameters, given, chapter.name)
    name = name or name_run(chapter, values)
    if not RUN_NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} cannot be the name of a run; use letters, digits, '-' and '_', as in red-car"
        )
    page = page_path(root, chapter, name)
    key = run_hash(chapter, values)
    if page.exists() and nbformat.read(page, as_version=4).metadata.get("hrvlab") == key:
        return ChapterRun(page, skipped=True)
    prepared = prepare(chapter, values, name)
    page.parent.mkdir(parents=True, exist_ok=True)
    partial = page.with_suffix(".partial.ipynb")
    with _environment(KERNEL_ENVIRONMENT):
        try:
            papermill.execute_notebook(
                prepared, str(partial), kernel_name="python3", progress_bar=False
            )
        except papermill.PapermillExecutionError as error:
            line = error.source.strip().partition("\n")[0]
            reason = " ".join(str(error.evalue).split())
            raise RunError(
                f"chapter {chapter.name!r} failed in code cell {error.exec_count} ({line}): "
                f"{error.ename}: {reason}; the notebook up to there is {partial}"
            ) from error
        except DeadKernelError as error:
            raise RunError(
                f"chapter {chapter.name!r} failed: its kernel died, perhaps out of memory; "
                f"the notebook up to there is {partial}"
            ) from error
    executed = clean(nbformat.read(partial, as_version=4))
    executed.metadata["hrvlab"] = key
    nbformat.write(executed, partial)
    partial.rename(page)
    return ChapterRun(page, skipped=False)


def prepare(chapter: Chapter, values: Mapping[str, Any], name: str) -> NotebookNode:
    """Build the notebook of a run, with its own title, its parameters and a provenance footer.

    Parameters
    ----------
    chapter : Chapter
        Stays as it is.
    values : mapping of str to object
        The value of every parameter.
    name : str
        Of the run.
    """
    run = Chapter(chapter.name, deepcopy(chapter.notebook))
    if name != DEFAULT:
        changed = [
            f"`{p.name} = {shorten(repr(values[p.name]), 80)}`"
            for p in chapter.parameters
            if values[p.name] != p.default
        ]
        heading = [f"# {chapter.title}: {name}", f"This run sets {', '.join(changed)}."]
        first = run.notebook.cells[0]
        body = first.source.partition("\n")[2]
        first.source = "\n\n".join(heading[: 1 + bool(changed)]) + f"\n{body}"
    if run.parameters_cell:
        run.parameters_cell.source = fill(run.parameters_cell.source, values)
    run.notebook.cells.append(
        nbformat.v4.new_code_cell(
            "from hrvlab.publish.footer import footer\n\n"
            f"footer(pipe, {f'{chapter.name}, {name}'!r}, {dict(values)!r})",
            metadata={"tags": ["remove-input"]},
        )
    )
    return run.notebook


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


def run_hash(chapter: Chapter, values: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of everything that determines a page.

    That is the notebook, the parameters and the files they name, the package's code and data,
    and the versions of the libraries.

    Parameters
    ----------
    chapter : Chapter
    values : mapping of str to object
        The value of every parameter.

    Returns
    -------
    str
        In hexadecimal digits.
    """
    cells = [(c.cell_type, c.source, c.metadata.get("tags")) for c in chapter.notebook.cells]
    named = [Path(value) for value in values.values() if isinstance(value, str) and value]
    package = Path(__file__).parents[1]
    plan = {
        "cells": cells,
        "values": dict(values),
        "files": [_content(path) for path in named if path.is_file()],
        "code": {str(p.relative_to(package)): _content(p) for p in sorted(package.rglob("*.py"))},
        "data": {
            str(p.relative_to(data_path())): _content(p)
            for p in sorted(data_path().rglob("*"))
            if p.is_file()
        },
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return _sha256(json.dumps(plan, sort_keys=True))


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
