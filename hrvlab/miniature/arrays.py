"""Arrays that are computed in parts and kept in a working folder: a kill loses one part."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hrvlab.progress import track

Array = NDArray[Any]


def kept_array(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    compute: Callable[[range], Iterable[Array]],
    *,
    chunk: int,
) -> Array:
    """Compute an array in parts, or read it from an earlier run.

    Parts are appended to a file, which gets its name when it is complete.

    Parameters
    ----------
    path : Path
        Of the ``.npy`` file.
    shape : tuple of int
    dtype : dtype
    compute : callable (starts) -> iterable of ndarray
        Computes, in order, the parts that begin at these positions of the first axis.
    chunk : int
        Length of the parts along the first axis; the last one may be shorter.

    Returns
    -------
    ndarray
        Memory-mapped.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.with_suffix(".part")
        done = _resume(begun, shape, np.dtype(dtype), chunk)
        starts = range(done * chunk, shape[0], chunk)
        with begun.open("ab") as file:
            bar = track(compute(starts), path.stem, done + len(starts), initial=done)
            for part in bar:
                file.write(np.ascontiguousarray(part, dtype).data)
                file.flush()
            os.fsync(file.fileno())
        begun.rename(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def spread(compute: Callable[[int], Array], starts: range) -> Iterator[Array]:
    """Compute parts in order, in as many processes as there are cores; a single one in this one.

    Parameters
    ----------
    compute : callable (start) -> ndarray
        Can be pickled.
    starts : range

    Yields
    ------
    ndarray
    """
    if len(starts) < 2:
        yield from map(compute, starts)
    else:
        # A pool's processes end with their parent, even if it is killed; an executor's do not.
        with get_context("spawn").Pool() as pool:
            yield from pool.imap(compute, starts)


def _resume(begun: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int) -> int:
    """Return how many whole parts a file has and cut off the rest; begin it if it is another's."""
    header = io.BytesIO()
    form = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, form)
    first = header.getvalue()
    with begun.open("a+b") as file:
        file.seek(0)
        if file.read(len(first)) != first:
            file.truncate(0)
            file.write(first)
    part = chunk * int(np.prod(shape[1:])) * dtype.itemsize
    done = (begun.stat().st_size - len(first)) // part
    os.truncate(begun, len(first) + done * part)
    return done
