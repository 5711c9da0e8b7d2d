"""Atomic writing of files, and failures of the disk as errors of one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from hrvlab.errors import StoreError


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn failures of the file system within a block into a `StoreError` of one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"the disk is full while writing {path}; finished work is kept: free some space "
                "and run the same command again"
            ) from error
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: others see all of it or nothing.

    Parameters
    ----------
    path : Path
    content : bytes

    Raises
    ------
    OSError
        If it cannot be written; an existing file then stays as it was.
    """
    # Unlike files of tempfile, this one may be read by whom the user allows to read files.
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with scratch.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
