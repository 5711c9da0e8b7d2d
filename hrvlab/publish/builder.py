"""Jupyter Book as a program, whose last line says why it failed.

Jupyter Book itself ends in a traceback, or in a box that refers to lines above.
"""

from __future__ import annotations

import sys

REASON = "hrvlab: "


def main() -> None:
    """Run Jupyter Book's command line; on an exception, print its reason and exit with 1."""
    from jupyter_book.cli.main import main as jupyter_book

    try:
        jupyter_book(standalone_mode=False)
    except Exception as error:
        cause = error.__cause__ or error
        sys.stderr.write(f"\n{REASON}{type(cause).__name__}: {' '.join(str(cause).split())}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
