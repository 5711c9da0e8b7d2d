"""The libraries that results depend on, and their installed versions."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "xarray")
# Under another version of one of these, the same plan may give other numbers.
COMPUTING = ("hrvlab", "torch", "diffusers", "transformers", "numpy")


def library_versions() -> dict[str, str]:
    """Return the installed version of every library in `LIBRARIES`, by its name."""
    return {name: version(name) for name in LIBRARIES}


def computing_versions() -> dict[str, str]:
    """Return the installed version of hrvlab and of every library that numbers depend on."""
    return {name: version(name) for name in COMPUTING}


def describe_versions(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Describe how versions elsewhere differ from those here.

    Parameters
    ----------
    there, here : mapping of str to str
        Versions by the library's name.

    Returns
    -------
    str
        Empty if they are equal.
    """
    return ", ".join(
        f"{name} {there.get(name, 'unknown')} (here {here[name]})"
        for name in here
        if there.get(name) != here[name]
    )
