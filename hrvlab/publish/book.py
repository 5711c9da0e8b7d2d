"""Rendering of the book with Jupyter Book, with warnings as errors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import shorten

from hrvlab.errors import HrvlabError, StoreError
from hrvlab.paths import own_path
from hrvlab.publish.builder import REASON
from hrvlab.publish.chapters import Chapter
from hrvlab.publish.pages import PARTIAL, check_output
from hrvlab.storage.atomic import NUMBER, storing

BUILDER = [sys.executable, "-m", "hrvlab.publish.builder"]
OPTIONS = ["build", "book", "-W", "-n", "--keep-going"]
CONFIG = "_config.yml"
KEPT = "executed pages are kept"
UNFINISHED = ".unfinished"  # while a book is rendered, however that ends
COLOR = re.compile(r"\x1b\[[0-9;]*m")
READING = re.compile(r"(?:reading sources|writing output)\.\.\. \[\s*\d+%\] (\S+)")
LONGEST = 500


class BookError(HrvlabError):
    """A book that cannot be rendered without warnings."""


def stage(checkout: Path, folder: Path) -> None:
    """Copy the book's sources to another folder, beside the pages there.

    Parameters
    ----------
    checkout : Path
        Where the sources are.
    folder : Path
        Where pages are; the checkout itself needs no copy.

    Raises
    ------
    StoreError
        If the folder cannot be written, or holds another Jupyter Book.
    """
    if folder.resolve() == checkout.resolve():
        return
    if (folder / CONFIG).exists() and not (folder / "book" / "_ext" / "offline.py").exists():
        raise StoreError(f"{folder} holds another book, with a {CONFIG}; give another --output")
    check_output(folder)
    sources = checkout / "book"
    with storing(folder, KEPT):
        shutil.copytree(
            sources,
            folder / "book",
            ignore=lambda where, _: ["runs", "_build"] if Path(where) == sources else [],
            dirs_exist_ok=True,
        )
        shutil.copy2(checkout / CONFIG, folder)


def render(root: Path) -> Path:
    """Render the book, of which only pages that changed are rendered again.

    After a rendering that failed or was stopped, all pages are.

    Parameters
    ----------
    root : Path
        The source checkout, or a folder that was staged.

    Returns
    -------
    Path
        The first page, to open in a browser; no page needs a network.

    Raises
    ------
    StoreError
        If a page is damaged, or the folder cannot be written.
    BookError
        If there are warnings, or Sphinx fails; its message quotes the first reason.
    """
    check_pages(root)
    check_output(root / "_build")
    unfinished = root / "_build" / UNFINISHED
    if unfinished.exists():
        # Sphinx takes a page that was cut short for finished, and repeats no warnings of pages
        # that it has read before.
        for part in (".doctrees", "html"):
            shutil.rmtree(root / "_build" / part, ignore_errors=True)
    with storing(unfinished, KEPT):
        unfinished.touch()
    # The reference must describe the hrvlab that renders it, wherever the sources are.
    environment = {**os.environ, **own_path()}
    done = subprocess.run(
        [*BUILDER, *OPTIONS],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        cwd=root,
        env=environment,
    )
    if done.returncode:
        raise BookError(why_it_failed(done.stdout, done.stderr))
    unfinished.unlink()
    return root / "_build" / "html" / "index.html"


def check_pages(root: Path) -> None:
    """Check that every executed page can be read.

    Parameters
    ----------
    root : Path

    Raises
    ------
    StoreError
        If one cannot, with its name.
    """
    for path in sorted((root / "book" / "runs").rglob("*.ipynb")):
        if not path.name.endswith(PARTIAL):
            try:
                Chapter.read(path)
            except StoreError as error:
                raise StoreError(f"{error}; delete this page, or run its chapter again") from error


def why_it_failed(output: str, errors: str) -> str:
    """Find the reason in what Jupyter Book printed.

    Parameters
    ----------
    output, errors : str

    Returns
    -------
    str
        One line.
    """
    lines = COLOR.sub("", f"{output}\n{errors}").splitlines()
    reasons = [line.removeprefix(REASON) for line in lines if line.startswith(REASON)]
    if reasons:
        pages = READING.findall(COLOR.sub("", output))
        where = f" at {pages[-1]}" if pages else ""
        kept = f"; {KEPT}" if NUMBER.search(reasons[-1]) else ""
        return f"the book cannot be rendered: it failed{where} with {_short(reasons[-1])}{kept}"
    warnings = [line for line in lines if "WARNING" in line or "ERROR" in line]
    if warnings:
        count = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}"
        return f"the book has {count}; the first is: {_short(warnings[0])}"
    said = [line for line in lines if line.strip(" =")] or ["nothing"]
    return f"the book cannot be rendered; the last that Jupyter Book said is: {_short(said[-1])}"


def _short(text: str) -> str:
    return shorten(text.strip(" ="), LONGEST, placeholder=" …")
