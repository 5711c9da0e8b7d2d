"""What a page rests on: the chapter, its parameters and what they name, code, data, libraries."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlab.libraries import LIBRARIES
from hrvlab.paths import data_path

if TYPE_CHECKING:
    from hrvlab.publish.chapters import Chapter

# Parameters that name what a chapter writes; what it finds there is checked by its own plan.
WRITTEN = {"store", "exported"}
# Besides those that results depend on: what else shows on a page; open_clip names prompts.
SHOWN_BY = ("open_clip_torch", "pandas", "pillow", "plotly", "safetensors", "tokenizers", "zarr")
SCALED = re.compile(r"(.+):[-+.\de]+")  # a LoRA and its scale
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def run_hash(chapter: Chapter, values: Mapping[str, Any], folder: Path) -> str:
    """Compute the SHA-256 of everything that determines a page.

    That is the notebook, the parameters, the files and folders that they name, the package's code
    and data, and the versions of Python and of the libraries.

    Parameters
    ----------
    chapter : Chapter
    values : mapping of str to object
        The value of every parameter.
    folder : Path
        Where relative paths start.

    Returns
    -------
    str
        In hexadecimal digits.
    """
    package = Path(__file__).parents[1]
    code = sorted(path for kind in ("*.py", "*.pyi") for path in package.rglob(kind))
    plan = {
        "cells": [(c["cell_type"], c["source"], c["metadata"].get("tags")) for c in chapter.cells],
        "values": dict(values),
        "named": {text: digest for text, digest in _named(values, folder) if digest},
        "code": {str(path.relative_to(package)): _file_hash(path) for path in code},
        "data": path_hash(data_path()),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in (*LIBRARIES, *SHOWN_BY)},
    }
    return text_hash(json.dumps(plan, sort_keys=True))


def hub_revisions(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the commits of the models on the hub that parameters name and this machine has.

    Parameters
    ----------
    values : mapping of str to object
        The value of every parameter.

    Returns
    -------
    dict of str to str
        By hub id; a model that has not been downloaded yet has none.
    """
    ids = [text for text in _texts(values) if HUB_ID.fullmatch(text)]
    if not ids:
        return {}
    # Imported here because few runs need it.
    from huggingface_hub.constants import HF_HUB_CACHE

    refs = {
        name: Path(HF_HUB_CACHE, f"models--{name.replace('/', '--')}", "refs", "main")
        for name in ids
    }
    return {name: ref.read_text().strip() for name, ref in refs.items() if ref.is_file()}


def path_hash(path: Path) -> str | None:
    """Compute the SHA-256 of a file, or of a folder's files and their names.

    Parameters
    ----------
    path : Path
        Links are followed; in folders, hidden files and folders are left out.

    Returns
    -------
    str or None
        In hexadecimal digits; None if there is neither.
    """
    # Unlike the methods of Path, these take texts of any length, which most parameters are.
    if os.path.isfile(path):  # noqa: PTH113
        return _file_hash(path)
    if not os.path.isdir(path):  # noqa: PTH112
        return None
    found = {}
    for folder, folders, files in os.walk(path, followlinks=True):
        here = Path(folder)
        # A link may lead back to a folder above.
        above = {parent.resolve() for parent in here.parents if parent.is_relative_to(path)}
        folders[:] = [] if here.resolve() in above else [f for f in folders if f[0] != "."]
        for file in (here / name for name in files if name[0] != "."):
            if file.is_file():
                found[str(file.relative_to(path))] = _file_hash(file)
    return text_hash(json.dumps(found, sort_keys=True))


def text_hash(text: str) -> str:
    """Compute the SHA-256 of a text.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        In hexadecimal digits.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _named(values: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str | None]]:
    """Iterate over the texts of parameters, with the hashes of files and folders of that name."""
    read = {name: value for name, value in values.items() if name not in WRITTEN}
    for text in _texts(read):
        if text:
            # Unlike Path.expanduser, this leaves the name of an unknown user as it is.
            yield text, path_hash(folder / os.path.expanduser(text))  # noqa: PTH111


def _texts(value: object) -> Iterator[str]:
    """Iterate over all texts in a value, also within lists and mappings, and before a scale."""
    if isinstance(value, str):
        yield value
        if scaled := SCALED.fullmatch(value):
            yield scaled[1]
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _file_hash(path: Path) -> str:
    """Compute the SHA-256 of a file; of one that cannot be read, what the system says of it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return str(error.strerror)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
