"""Pages of the book, planned before anything is executed: parameters, name, path and key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ParameterError
from hrvlab.libraries import library_versions
from hrvlab.paths import data_path
from hrvlab.publish.parameters import check_parameters

if TYPE_CHECKING:
    from hrvlab.publish.chapters import Chapter

DEFAULT = "default"
RUN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.IGNORECASE)
KEY = "hrvlab"  # in the metadata of an executed notebook


@dataclass(frozen=True)
class Page:
    """The page of one run of a chapter, executed or not.

    Parameters
    ----------
    chapter : Chapter
    values : dict of str to object
        The value of every parameter.
    name : str
        Of the run.
    path : Path
        Of the executed notebook.
    key : str
        From `run_hash`.
    """

    chapter: Chapter
    values: dict[str, Any]
    name: str
    path: Path
    key: str

    @property
    def finished(self) -> bool:
        """Whether there is a page made from the same inputs."""
        try:
            notebook = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return notebook["metadata"].get(KEY) == self.key


def plan_page(
    root: Path, chapter: Chapter, given: Mapping[str, Any], name: str | None = None
) -> Page:
    """Check the parameters and the name of a run, and plan its page.

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
    Page

    Raises
    ------
    ParameterError
        If a parameter or the name is invalid.
    """
    values = check_parameters(chapter.parameters, given, chapter.name)
    name = name or name_run(chapter, values)
    if not RUN_NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} cannot be the name of a run; use letters, digits, '-' and '_', as in red-car"
        )
    return Page(chapter, values, name, page_path(root, chapter, name), run_hash(chapter, values))


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
    cells = [(c["cell_type"], c["source"], c["metadata"].get("tags")) for c in chapter.cells]
    named = [Path(value) for value in values.values() if isinstance(value, str) and value]
    package = Path(__file__).parents[1]
    code = sorted(path for kind in ("*.py", "*.pyi") for path in package.rglob(kind))
    plan = {
        "cells": cells,
        "values": dict(values),
        "files": [_content(path) for path in named if path.is_file()],
        "code": {str(path.relative_to(package)): _content(path) for path in code},
        "data": {
            str(p.relative_to(data_path())): _content(p)
            for p in sorted(data_path().rglob("*"))
            if p.is_file()
        },
        "libraries": library_versions(),
    }
    return _sha256(json.dumps(plan, sort_keys=True))


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
