"""Atomic writing of files, and failures of the disk as errors of one line."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hrvlab.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)
LOST = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT)
KEPT = "what was finished before is kept"
# Begins the names of what is not finished; hidden, for it stays behind if a process is killed.
SCRATCH = ".scratch."


@contextmanager
def storing(path: Path, kept: str = KEPT) -> Iterator[None]:
    """Turn failures of the file system within a block into a `StoreError` of one line.

    Parameters
    ----------
    path : Path
        What is written.
    kept : str
        A clause that says what is kept and what is lost, if the disk is full or goes away.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in FULL:
            message = (
                f"the disk is full while writing {path}; {kept}: free some space and run the same "
                "command again"
            )
        elif error.errno in LOST:
            message = (
                f"the disk with {path} does not answer ({reason}); {kept}: when it is back, run "
                "the same command again"
            )
        else:
            message = f"cannot write {path}: {reason}; choose a folder that you can write"
        raise StoreError(message) from error


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, by writing one; the folder is made if need be.

    Raises
    ------
    StoreError
        If they cannot.
    """
    probe = folder / f"{SCRATCH}{secrets.token_hex(4)}"
    with storing(folder, "nothing was computed yet"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_whole(probe, bytes(4096))
        finally:
            probe.unlink(missing_ok=True)


def remove_scratch(folder: Path) -> None:
    """Remove unfinished datasets and units that killed processes left in a plan's folder."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{SCRATCH}*/"):
            shutil.rmtree(path, ignore_errors=True)
        for path in folder.glob(f"*/{SCRATCH}*"):
            path.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: others see all of it or nothing.

    Who may read it follows from the umask, as for any other file.

    Parameters
    ----------
    path : Path
    content : bytes

    Raises
    ------
    OSError
        If it cannot be written; an existing file then stays as it was.
    """
    partial = path.with_name(f"{SCRATCH}{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
