"""Progress: a bar in a terminal or notebook, lines in the log of a batch job."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 30
LINE = "{desc}: {n_fmt}/{total_fmt}, {elapsed} elapsed, {remaining} left{postfix}"


class _Lines:
    """A log that shows every state of a bar as a line of its own."""

    def write(self, text: str) -> None:
        """Write what is not blank, as a line."""
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        """Flush the log, so that it can be followed."""
        sys.stderr.flush()


def track(
    items: Iterable[Item],
    name: str,
    total: int | None = None,
    *,
    initial: int = 0,
    disable: bool = False,
) -> tqdm[Item]:
    """Iterate over items and show on stderr how far it is.

    Parameters
    ----------
    items : iterable
    name : str
        Of what is done.
    total : int, optional
        Number of items, if they have no length.
    initial : int
        Number of items that were done before.
    disable : bool
        Show nothing.

    Returns
    -------
    tqdm.tqdm
        Iterates over the items.
    """
    shown: dict[str, Any] = {"initial": initial, "disable": disable}
    if not sys.stderr.isatty() and "ipykernel" not in sys.modules:
        # A bar that overwrites itself would be one endless line in a file.
        shown |= {"file": _Lines(), "mininterval": SECONDS_BETWEEN_LINES, "miniters": 1}
        shown["bar_format"] = LINE
    return tqdm(items, name, total, **shown)
