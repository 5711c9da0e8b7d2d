"""The location of the shipped data, in an installed wheel and in a source checkout."""

from importlib.resources import files
from pathlib import Path

MINIATURE = "miniature"


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
