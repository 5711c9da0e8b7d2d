"""Pages of the book, planned before anything is executed: parameters, name, path and key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ParameterError, StoreError
from hrvlab.publish.inputs import hub_revisions, run_hash, text_hash
from hrvlab.publish.parameters import check_parameters
from hrvlab.storage.atomic import check_writable

if TYPE_CHECKING:
    from hrvlab.publish.chapters import Chapter

RUN_NAME = re.compile(r"\w[\w-]*")
PARTIAL = ".partial.ipynb"  # ends the names of notebooks that failed; the book leaves them out
KEY = "hrvlab"  # in the metadata of an executed notebook


@dataclass(frozen=True)
class Page:
    """The page of one run of a chapter, executed or not.

    Parameters
    ----------
    chapter : Chapter
    values : dict of str to object
        The value of every parameter.
    name : str or None
        Of the run; None for the run of the chapter as it is.
    path : Path
        Of the executed notebook.
    folder : Path
        Where the chapter works: its relative paths start there.
    key : str
        From `hrvlab.publish.inputs.run_hash`.
    """

    chapter: Chapter
    values: dict[str, Any]
    name: str | None
    path: Path
    folder: Path
    key: str

    @property
    def label(self) -> str:
        """Names of the chapter and of the run."""
        return f"{self.chapter.name}, {self.name or 'default'}"

    @property
    def mark(self) -> dict[str, Any]:
        """What the page rests on, as it is now, for the metadata of an executed notebook."""
        return {"inputs": self.key, "revisions": hub_revisions(self.values)}

    @property
    def finished(self) -> bool:
        """Whether there is a page made from the same inputs."""
        try:
            notebook = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        metadata = notebook.get("metadata") if isinstance(notebook, dict) else None
        return isinstance(metadata, dict) and metadata.get(KEY) == self.mark


def plan_page(
    root: Path,
    chapter: Chapter,
    given: Mapping[str, Any],
    name: str | None = None,
    *,
    output: Path | None = None,
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
    output : Path, optional
        The folder that gets the page; default: the checkout.

    Returns
    -------
    Page

    Raises
    ------
    ParameterError
        If the chapter has no title, or a parameter or the name is invalid.
    """
    _ = chapter.title  # without one it is no chapter
    values = check_parameters(chapter.parameters, given, chapter.name)
    name = name or name_run(chapter, values)
    if name is not None and not RUN_NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} cannot be the name of a run; give another with --name, of letters, digits, "
            "'-' and '_', as in red-car"
        )
    path = page_path(output or root, chapter, name)
    folder = working_folder(root)
    return Page(chapter, values, name, path, folder, run_hash(chapter, values, folder))


def page_path(output: Path, chapter: Chapter, name: str | None) -> Path:
    """Return the path of a run's page.

    Parameters
    ----------
    output : Path
        The source checkout, or another folder that gets pages.
    chapter : Chapter
    name : str or None
        Of the run.

    Returns
    -------
    Path
        For the chapter as it is, ``book/runs/{chapter}.ipynb``; runs with a name are in the folder
        of the same name, so that none of them takes its place.
    """
    runs = output / "book" / "runs"
    if name is None:
        return runs / f"{chapter.name}.ipynb"
    return runs / chapter.name / f"{name}.ipynb"


def working_folder(root: Path) -> Path:
    """Return the folder in which chapters work, where their relative paths start.

    Parameters
    ----------
    root : Path
        The source checkout.

    Returns
    -------
    Path
        The checkout, if the working directory lies in it, and otherwise the working directory.
    """
    here = Path.cwd()
    return root if here.is_relative_to(root) else here


def name_run(chapter: Chapter, values: Mapping[str, Any]) -> str | None:
    """Derive a run's name from the parameters that differ from the chapter's defaults.

    Parameters
    ----------
    chapter : Chapter
    values : mapping of str to object
        The value of every parameter.

    Returns
    -------
    str or None
        None if nothing differs.
    """
    changed = {p.name: values[p.name] for p in chapter.parameters if values[p.name] != p.default}
    if not changed:
        return None
    words = re.sub(r"[^a-z0-9]+", "-", str(changed).lower()).strip("-")
    return f"{words[:40].rstrip('-')}-{text_hash(json.dumps(changed, sort_keys=True))[:4]}"


def check_output(folder: Path) -> None:
    """Check that a folder of pages can be written, and make it if there is none.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    StoreError
        If it cannot.
    """
    try:
        check_writable(folder)
    except StoreError as error:
        raise StoreError(f"{error}, and give it with --output") from error
