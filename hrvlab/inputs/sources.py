"""Input files: shipped ones by their names, and the user's own by their paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.errors import ParameterError
from hrvlab.paths import data_path, user_path

if TYPE_CHECKING:
    from hrvlab.errors import HrvlabError


def find_source(
    kind: str,
    source: str | Path,
    *,
    prefix: str = "",
    special: Sequence[str] = (),
    error: type[HrvlabError] = ParameterError,
) -> Path:
    """Return the path of an input file: a shipped one, or the user's own.

    Parameters
    ----------
    kind : str
        The folder below ``data/``: ``"concepts"``, ``"prompts"`` or ``"cases"``.
    source : str or Path
        The name of a shipped YAML file without prefix and extension, or a path.
    prefix : str
        Beginning of the names of the shipped files in question.
    special : sequence of str
        Names that the caller accepts besides; the error lists them too.
    error : type
        The error that is raised.

    Returns
    -------
    Path
        Of an existing file; a shipped name takes precedence over a path.

    Raises
    ------
    HrvlabError
        If there is no such file, of the type given.
    """
    shipped = {
        path.stem.removeprefix(prefix): path for path in data_path(kind).glob(f"{prefix}*.yaml")
    }
    path = shipped.get(str(source)) or user_path(source)
    if not path.is_file():
        names = ", ".join([*special, *sorted(shipped)])
        raise error(
            f"there are no {kind} {str(source)!r}; give the path of a file, or one of: {names}"
        )
    return path
