"""Rendering of the book with Jupyter Book, with warnings as errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from hrvlab.errors import HrvlabError

JUPYTER_BOOK = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"


class BookError(HrvlabError):
    """A book that cannot be rendered without warnings."""


def render(root: Path) -> Path:
    """Render the book, of which only pages that changed are rendered again.

    Parameters
    ----------
    root : Path
        The source checkout.

    Returns
    -------
    Path
        The first page, to open in a browser; no page needs a network.

    Raises
    ------
    BookError
        If there are warnings; its message quotes the first.
    """
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", "book", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if done.returncode:
        # Sphinx does not repeat the warnings of pages that it has read before.
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
        lines = (done.stdout + done.stderr).splitlines()
        warnings = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-1:]
        raise BookError(f"the book has {len(warnings)} warnings; the first is: {warnings[0]}")
    return root / "_build" / "html" / "index.html"
