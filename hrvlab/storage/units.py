"""The ledger of a plan's finished units, so that killed runs resume and results are reused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import storing, write_whole
from hrvlab.storage.datasets import read_dataset, write_dataset
from hrvlab.storage.plans import PLAN, as_json, plan_bytes, plan_folder
from hrvlab.storage.run import Run
from hrvlab.storage.schema import validate

DATA, UNITS = "data.zarr", "ledger"
CLOSED = "closed"  # a store that contains a file of this name accepts no new plan

Unit = dict[str, NDArray[Any]]


class Ledger:
    """The finished units of one plan, each in a file of its own that is written atomically.

    Parameters
    ----------
    store : Path
        Folder in which every plan has a folder of its own, so that plans never mix.
    plan : dict
        Everything that determines the result, as JSON; images and arrays are represented by
        digests.

    Raises
    ------
    ParameterError
        If any other value cannot be serialized.
    StoreError
        If the folder cannot be written, it holds another plan, or the store is closed and does not
        hold the plan.
    """

    def __init__(self, store: Path, plan: dict[str, Any]) -> None:
        written = plan_bytes(plan)
        self.folder = plan_folder(store, written)
        self.units = self.folder / UNITS
        if (store / CLOSED).exists() and not self.folder.exists():
            raise StoreError(f"{store} is closed: it holds other plans and accepts no new one")
        with storing(self.folder):
            self.units.mkdir(parents=True, exist_ok=True)
            self._claim(self.folder / PLAN, written)

    def _claim(self, path: Path, written: bytes) -> None:
        """Check that the folder holds the plan; write it if it is missing or damaged."""
        plan = json.loads(written)
        try:
            there = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            write_whole(path, written)
            return
        if there != plan:
            names = {*there, *plan}
            other = sorted(name for name in names if there.get(name) != plan.get(name))
            raise StoreError(
                f"{self.folder} holds another plan, which differs in {', '.join(other)}; move that "
                "folder away, or use another store"
            )

    def _path(self, unit: int) -> Path:
        return self.units / f"{unit:06d}.npz"

    def read(self, unit: int) -> Unit | None:
        """Return a finished unit's arrays, or None if it is missing or damaged."""
        try:
            content = self._path(unit).read_bytes()
        except FileNotFoundError:
            return None
        try:
            arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
        except Exception:
            # A damaged archive fails in many ways; its checksums ensure that it does fail.
            return None
        # A flipped bit in its directory can hide an array; its last record counts them.
        return arrays if len(arrays) == int.from_bytes(content[-12:-10], "little") else None

    def finish(self, unit: int, **arrays: NDArray[Any]) -> None:
        """Write a finished unit's arrays.

        Raises
        ------
        StoreError
            If the disk is full or read-only; units finished before are kept.
        """
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        with storing(self.folder):
            write_whole(self._path(unit), buffer.getvalue())


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Lock a plan's folder within a block, so that no other run writes to it.

    The kernel releases the lock when the process ends, even if it is killed.

    Raises
    ------
    StoreError
        If another run is writing there.
    """
    lock = FileLock(folder / "lock", timeout=0)
    with storing(folder):
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreError(
                f"another process is writing to {folder}; wait until it has finished, or use "
                "another store"
            ) from error
    try:
        yield
    finally:
        lock.release()


def complete(
    ledger: Ledger | None, count: int, compute: Callable[[list[int]], Iterable[tuple[int, Unit]]]
) -> Iterator[tuple[int, Unit]]:
    """Iterate over all units of a plan: first the finished ones, then the others once computed.

    Parameters
    ----------
    ledger : Ledger, optional
        Stores each unit before it is yielded.
    count : int
        Number of units; they are numbered from 0.
    compute : callable (list of int) -> iterable of (int, dict of str to ndarray)
        Computes the units of these numbers, in any order.

    Yields
    ------
    number : int
    unit : dict of str to ndarray

    Raises
    ------
    StoreError
        If a unit cannot be written; units finished before are kept.
    """
    missing = []
    for number in range(count):
        unit = ledger.read(number) if ledger else None
        if unit is None:
            missing.append(number)
        else:
            yield number, unit
    for number, unit in compute(missing) if missing else ():
        if ledger:
            ledger.finish(number, **unit)
        yield number, unit


def keep(
    ledger: Ledger | None,
    make: Callable[[], xr.Dataset],
    parameters: dict[str, Any] | None = None,
) -> Run:
    """Return a plan's result: read it if it is finished and undamaged, otherwise make and write it.

    Reading a finished result requires neither a lock nor write permission.

    Parameters
    ----------
    ledger : Ledger, optional
        Of the plan; without one nothing is read or written.
    make : callable () -> xarray.Dataset
        Makes the result from its units; meanwhile no other run writes to the plan's folder.
    parameters : dict, optional
        What the result's attribute ``parameters`` must say, because the plan does not determine it,
        such as names of conditions; a stored result with others is made anew from its units.

    Returns
    -------
    Run
        Its folder is the plan's.

    Raises
    ------
    StoreError
        If another run is writing there, or the result cannot be written.
    """
    if ledger is None:
        return Run(validate(make()))
    path = ledger.folder / DATA
    found = _read_matching(path, parameters)
    if found is None:
        with writing(ledger.folder):
            write_dataset(make(), path)
            found = read_dataset(path)
    return Run(found, ledger.folder)


def _read_matching(path: Path, parameters: dict[str, Any] | None) -> xr.Dataset | None:
    """Read a result; None if there is none, it is damaged, or it has other parameters."""
    try:
        found = read_dataset(path)
    except StoreError:
        return None
    if parameters is None:
        return found
    stored = json.loads(found.attrs.get("parameters", "null"))
    return found if stored == json.loads(as_json(parameters)) else None
