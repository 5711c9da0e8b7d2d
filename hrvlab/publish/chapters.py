"""Chapters: notebooks of a source checkout that become pages of the book."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ParameterError, StoreError
from hrvlab.paths import NOTEBOOKS, checkout_around, data_path
from hrvlab.publish.parameters import read_parameters

if TYPE_CHECKING:
    from hrvlab.publish.parameters import Parameter

PARAMETERS_TAG = "parameters"
# The names that JupyterLab gives to new notebooks, to copies and to files that it is writing.
SCRATCH = re.compile(r"Untitled\d*|.*-Copy\d+|\..*")


@dataclass(frozen=True)
class Chapter:
    """A notebook that begins with its title and has at most one cell tagged ``parameters``.

    Parameters
    ----------
    name : str
        The notebook's file name without its suffix.
    notebook : dict of str to object
        The content of the file; the source of every cell is one text.
    """

    name: str
    notebook: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Chapter:
        """Read a chapter from a notebook file.

        Parameters
        ----------
        path : Path

        Raises
        ------
        StoreError
            If the file cannot be read, or is not a notebook.
        """
        # Parsed here because nbformat takes more than a second to import.
        try:
            notebook = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise StoreError(f"{path} is not a notebook: it is not valid JSON") from error
        if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
            raise StoreError(f"{path} is not a notebook: it has no list of cells")
        for number, cell in enumerate(notebook["cells"]):
            try:
                # Stored as a text or as a list of its lines.
                cell["source"] = "".join(cell["source"])
                whole = isinstance(cell["metadata"], dict) and isinstance(cell["cell_type"], str)
            except (KeyError, TypeError):
                whole = False
            if not whole:
                raise StoreError(
                    f"{path} is not a notebook: cell {number} needs a type, a source and metadata"
                )
        return cls(path.stem, notebook)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Cells of the notebook, in order."""
        return self.notebook["cells"]

    @property
    def title(self) -> str:
        """Heading of the first cell."""
        heading = self.cells[0]["source"].partition("\n")[0] if self.cells else ""
        if not heading.startswith("# "):
            raise ParameterError(f"chapter {self.name!r} must begin with the line '# Title'")
        return heading[2:].strip()

    @property
    def parameters_cell(self) -> dict[str, Any] | None:
        """Cell tagged ``parameters``; None if there is none."""
        tagged = [cell for cell in self.cells if PARAMETERS_TAG in cell["metadata"].get("tags", ())]
        if len(tagged) > 1:
            raise ParameterError(
                f"chapter {self.name!r} has {len(tagged)} cells tagged 'parameters'; keep one"
            )
        return tagged[0] if tagged else None

    @property
    def parameters(self) -> list[Parameter]:
        """Parameters of the chapter, in order."""
        cell = self.parameters_cell
        return read_parameters(cell["source"], self.name) if cell else []


def find_checkout() -> Path:
    """Find the source checkout that contains the working directory, or else the package.

    Returns
    -------
    Path
        The root of the checkout.

    Raises
    ------
    StoreError
        If neither lies in a checkout.
    """
    for folder in (Path.cwd(), data_path().parent):
        if root := checkout_around(folder):
            return root
    raise StoreError(
        "this needs the chapters in a source checkout of hrvlab, and there is none here; clone the "
        "repository and run the command inside it"
    )


def find_chapters(root: Path) -> dict[str, Path]:
    """Find the notebooks of all chapters of a checkout.

    Parameters
    ----------
    root : Path
        The source checkout.

    Returns
    -------
    dict of str to Path
        By name, in alphabetical order, without scratch notebooks.
    """
    return {path.stem: path for path in _notebooks(root) if not _is_scratch(path)}


def find_scratch(root: Path) -> list[Path]:
    """Find the notebooks of a checkout that are no chapters: untitled ones and copies.

    Parameters
    ----------
    root : Path
        The source checkout.

    Returns
    -------
    list of Path
        Those whose name is one that JupyterLab gives, or that do not begin with a title.
    """
    return [path for path in _notebooks(root) if _is_scratch(path)]


def find_chapter(root: Path, name: str) -> Chapter:
    """Read one chapter of a checkout.

    Parameters
    ----------
    root : Path
        The source checkout.
    name : str

    Raises
    ------
    ParameterError
        If there is no such chapter; its message lists those there are.
    StoreError
        If it is not a notebook.
    """
    paths = {path.stem: path for path in _notebooks(root)}
    if name not in paths:
        raise ParameterError(
            f"there is no chapter {name!r}; there are: {', '.join(find_chapters(root)) or 'none'}"
        )
    return Chapter.read(paths[name])


def _notebooks(root: Path) -> list[Path]:
    return sorted((root / NOTEBOOKS).glob("*.ipynb"))


def _is_scratch(path: Path) -> bool:
    if SCRATCH.fullmatch(path.stem):
        return True
    try:
        _ = Chapter.read(path).title
    except StoreError:
        return False  # a damaged chapter must not be left out
    except ParameterError:
        return True
    return False
