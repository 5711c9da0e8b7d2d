"""Chapters: the notebooks of a source checkout that become pages of the book."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from hrvlab.errors import ParameterError, StoreError
from hrvlab.paths import data_path
from hrvlab.publish.parameters import Parameter, read_parameters

PARAMETERS_TAG = "parameters"


@dataclass(frozen=True)
class Chapter:
    """A notebook with at most one cell tagged ``parameters``; its first line is its title.

    Parameters
    ----------
    name : str
        The notebook's file name without its ending.
    notebook : NotebookNode
        Without outputs.
    """

    name: str
    notebook: NotebookNode

    @classmethod
    def read(cls, path: Path) -> Chapter:
        """Read a chapter.

        Raises
        ------
        StoreError
            If the file is not a notebook.
        """
        try:
            return cls(path.stem, nbformat.read(path, as_version=4))
        except nbformat.reader.NotJSONError as error:
            raise StoreError(f"{path} is not a notebook: it holds no valid JSON") from error

    @property
    def title(self) -> str:
        """The heading of the first cell."""
        heading = self.notebook.cells[0].source.partition("\n")[0] if self.notebook.cells else ""
        if not heading.startswith("# "):
            raise ParameterError(f"chapter {self.name!r} must begin with a line '# Title'")
        return heading[2:].strip()

    @property
    def parameters_cell(self) -> NotebookNode | None:
        """The cell tagged ``parameters``."""
        tagged = [
            cell for cell in self.notebook.cells if PARAMETERS_TAG in cell.metadata.get("tags", ())
        ]
        if len(tagged) > 1:
            raise ParameterError(f"chapter {self.name!r} has {len(tagged)} parameters cells, not 1")
        return tagged[0] if tagged else None

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters that the chapter takes."""
        cell = self.parameters_cell
        return read_parameters(cell.source, self.name) if cell else []


def find_checkout() -> Path:
    """Find the source checkout: around the working directory, else around the package.

    Raises
    ------
    StoreError
        If there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, data_path().parent):
        if (folder / "_config.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise StoreError(
        "the book's chapters are in a source checkout of hrvlab, and there is none here; "
        "clone the repository and run this inside it"
    )


def find_chapters(root: Path) -> dict[str, Path]:
    """Find the notebooks of all chapters of a checkout, by name."""
    return {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}


def find_chapter(root: Path, name: str) -> Chapter:
    """Read one chapter.

    Raises
    ------
    ParameterError
        With the names there are.
    """
    paths = find_chapters(root)
    if name not in paths:
        raise ParameterError(
            f"there is no chapter {name!r}; there are: {', '.join(paths) or 'none'}"
        )
    return Chapter.read(paths[name])
