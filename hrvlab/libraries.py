"""The libraries that results depend on, and their installed versions."""

from importlib.metadata import version

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "xarray")


def library_versions() -> dict[str, str]:
    """Return the installed version of every library in `LIBRARIES`, by its name."""
    return {name: version(name) for name in LIBRARIES}
