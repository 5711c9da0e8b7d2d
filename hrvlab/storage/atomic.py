"""Atomic writing of files, and failures of the disk as errors of one line."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError

from hrvlab.errors import DiskError

FULL = (errno.ENOSPC, errno.EDQUOT)
LOST = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT)
NUMBER = re.compile(r"(?:\[Errno |os error )(\d+)")
KEPT = "what was finished before is kept"
# Begins the names of what is not finished; hidden, for it stays behind if a process is killed.
SCRATCH = ".scratch."


@contextmanager
def storing(path: Path, kept: str = KEPT) -> Iterator[None]:
    """Turn failures of the file system within a block into a `DiskError` of one line.

    Parameters
    ----------
    path : Path
        What is written.
    kept : str
        A clause that says what is kept and what is lost, if the disk is full or goes away.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number, reason = _reason(error)
        if number is None and isinstance(error, SafetensorError):
            raise  # the weights themselves are damaged
        if number in FULL:
            message = (
                f"the disk is full while writing {path}; {kept}: free some space and run the same "
                "command again"
            )
        elif number in LOST:
            message = (
                f"the disk with {path} does not answer ({reason}); {kept}: when it is back, run "
                "the same command again"
            )
        else:
            message = f"cannot write {path}: {reason}; choose a folder that you can write"
        raise DiskError(message) from error


def _reason(error: Exception) -> tuple[int | None, str]:
    """Return the system's number of a failure, and what it means.

    Those who copy folders and safetensors tell the number in their message only.
    """
    number = getattr(error, "errno", None)
    told = NUMBER.search(str(error))
    if number is None and told is not None:
        number = int(told[1])
        return number, os.strerror(number)
    return number, getattr(error, "strerror", None) or str(error)


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, by writing one; the folder is made if need be.

    Raises
    ------
    DiskError
        If they cannot.
    """
    probe = folder / f"{SCRATCH}{secrets.token_hex(4)}"
    with storing(folder, "nothing was computed yet"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_whole(probe, bytes(4096))
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for temporary files, which is removed after a block.

    Raises
    ------
    DiskError
        If something cannot be written there, also within the block.
    """
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except (DiskError, OSError) as error:
        raise DiskError(
            f"temporary files cannot be written ({error.__cause__ or error}), and none of them is "
            "kept; set TMPDIR to a folder with space and run the same command again"
        ) from error


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
