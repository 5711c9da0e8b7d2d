"""Where files are: the shipped data, source checkouts, and paths that users write."""

from __future__ import annotations

import os
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

MINIATURE = "miniature"
NOTEBOOKS = "notebooks"


def data_path(*parts: str) -> Path:
    """Return the path of a shipped data file or folder.

    Parameters
    ----------
    *parts : str
        Path below ``data/``, such as ``"concepts", "miniature.yaml"``.
    """
    package = Path(str(files("hrvlab")))
    inside = package / "data"
    return (inside if inside.is_dir() else package.parent / "data").joinpath(*parts)


def checkout_around(folder: Path) -> Path | None:
    """Return the source checkout of hrvlab that a folder lies in; None if it lies in none.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path or None
        The innermost folder that has notebooks, and a ``pyproject.toml`` of the project hrvlab.
    """
    for root in (folder, *folder.parents):
        if (root / NOTEBOOKS).is_dir() and _is_of_hrvlab(root / "pyproject.toml"):
            return root
    return None


def user_path(path: str | Path) -> Path:
    """Return the path that a user means, in Python, on the command line and in parameters.

    ``~`` is the home folder. Relative paths start at the working directory; JupyterLab, which
    starts kernels in a checkout's folder of notebooks, is treated as if it started them in the
    checkout, where `hrvlab run` starts them.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Path
        As it was given, where it already starts at the right place.
    """
    # Unlike Path.expanduser, this leaves the name of an unknown user as it is.
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111
    here = Path.cwd()
    checkout = None if expanded.is_absolute() else checkout_around(here)
    if checkout and here.is_relative_to(checkout / NOTEBOOKS):
        return checkout / expanded
    return expanded


def own_path() -> dict[str, str]:
    """Return environment variables with which a new interpreter finds the modules of this one.

    Without them it would look into its working directory first, which may be another checkout.

    Returns
    -------
    dict of str to str
    """
    folders = [str(Path(folder).absolute()) for folder in sys.path]
    return {"PYTHONPATH": os.pathsep.join(folders), "PYTHONSAFEPATH": "1"}


def _is_of_hrvlab(pyproject: Path) -> bool:
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError):
        return False
    return isinstance(project, dict) and project.get("name") == "hrvlab"
