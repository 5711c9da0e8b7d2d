"""The lock of a plan's folder, so that only one run writes to it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, SoftFileLock, Timeout

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import remove_scratch, storing

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK, MARKER = "lock", "lock.held"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Lock a plan's folder within a block, so that no other run writes to it.

    The kernel releases the lock when the process ends, even if it is killed. On a file system
    without locks the existence of a file stands for the lock; if the process is killed, the next
    run on the same machine removes it.

    Raises
    ------
    StoreError
        If another run is writing there, or the folder cannot be written.
    """
    with storing(folder):
        try:
            lock = _acquire(folder)
        except Timeout as error:
            marker = folder / MARKER
            dead = f"remove {marker} if no process runs that made it" if marker.exists() else ""
            raise StoreError(
                f"another process is writing to {folder}; wait until it has finished, or use "
                f"another store{dead and '; ' + dead}"
            ) from error
    try:
        remove_scratch(folder)  # nobody else writes there now
        yield
    finally:
        lock.release()


def _acquire(folder: Path) -> BaseFileLock:
    """Acquire the kernel's lock, or a file in its place where the file system has no locks."""
    lock = FileLock(folder / LOCK, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        marker = SoftFileLock(folder / MARKER, timeout=0)
        marker.acquire()
        logging.getLogger(__name__).warning(
            "the file system of %s has no locks (%s); the file %s stands for one: remove it if "
            "the machine that writes there dies",
            folder,
            error.strerror,
            MARKER,
        )
        return marker
    return lock
