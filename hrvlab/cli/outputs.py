"""The folder that a command writes to, which must be new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hrvlab.errors import ParameterError


@contextmanager
def reserved(output: Path) -> Iterator[None]:
    """Make a folder that no other process makes meanwhile; remove it if it stays empty.

    Parameters
    ----------
    output : Path

    Raises
    ------
    ParameterError
        If it already exists.
    StoreError
        If it cannot be made, or nothing can be written beside it.
    """
    # Imported here because filesystems are tried only once everything else is right.
    from hrvlab.storage.atomic import check_writable, storing

    check_writable(output.parent)
    with storing(output, "nothing was computed yet"):
        try:
            output.mkdir()
        except FileExistsError as error:
            raise ParameterError(
                f"{output} already exists; remove it, or choose another --output"
            ) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            output.rmdir()
        raise
