"""The ledger of a plan's finished units: a killed run resumes, a damaged result is made anew."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.store import read_dataset, stand_in, storing, validate, write_dataset

DATA, PLAN, UNITS = "data.zarr", "plan.json", "ledger"
CLOSED = "closed"  # a file of that name in a store says that it takes no new plan

Unit = dict[str, NDArray[Any]]


def plan_folder(store: Path, plan: bytes) -> Path:
    """Say where a store keeps a plan."""
    return store / hashlib.sha256(plan).hexdigest()[:16]


class Ledger:
    """The finished units of one plan, each in a file of its own, written whole or not at all.

    Parameters
    ----------
    store : Path
        Folder in which every plan has a folder of its own, so that plans never mix.
    plan : dict
        All that determines the result, as JSON; pictures and arrays are held by their digests.

    Raises
    ------
    ParameterError
        If something else cannot be written as JSON.
    StoreError
        If the folder cannot be written, or says that it holds another plan, or the store is closed
        and does not hold the plan.
    """

    def __init__(self, store: Path, plan: dict[str, Any]) -> None:
        written = json.dumps(plan, sort_keys=True, indent=1, default=stand_in).encode()
        self.folder = plan_folder(store, written)
        self.units = self.folder / UNITS
        if (store / CLOSED).exists() and not self.folder.exists():
            raise StoreError(f"{store} holds finished work of other plans, and takes no new one")
        with storing(self.folder):
            self.units.mkdir(parents=True, exist_ok=True)
            self._claim(self.folder / PLAN, written)

    def _claim(self, path: Path, written: bytes) -> None:
        """Write the plan down, unless it is there."""
        plan = json.loads(written)
        try:
            there = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            _write_whole(path, written)
            return
        if there != plan:
            names = {*there, *plan}
            other = sorted(name for name in names if there.get(name) != plan.get(name))
            raise StoreError(
                f"{self.folder} holds another plan, which differs in {', '.join(other)}; move "
                "that folder away, or give another store"
            )

    def _path(self, unit: int) -> Path:
        return self.units / f"{unit:06d}.npz"

    def read(self, unit: int) -> Unit | None:
        """Give a finished unit's arrays, or None if it is missing or damaged."""
        try:
            content = self._path(unit).read_bytes()
        except FileNotFoundError:
            return None
        try:
            arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
        except Exception:
            # A damaged archive fails in a dozen ways; its checksums see to it that it does.
            return None
        # A flipped bit of its directory can hide an array; its last record counts them.
        return arrays if len(arrays) == int.from_bytes(content[-12:-10], "little") else None

    def finish(self, unit: int, **arrays: NDArray[Any]) -> None:
        """Keep a unit's arrays.

        Raises
        ------
        StoreError
            If the disk is full or read-only; units finished before stay.
        """
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        with storing(self.folder):
            _write_whole(self._path(unit), buffer.getvalue())


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep every other run from writing to a plan's folder.

    The kernel lets go when the process ends, however it ends.

    Raises
    ------
    StoreError
        If another run is writing there.
    """
    with storing(folder):
        lock = (folder / "lock").open("w")
    with lock:
        with storing(folder):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError(
                    f"another process is writing to {folder}; wait until it has "
                    "finished, or give another store"
                ) from error
        yield


def complete(
    ledger: Ledger | None, count: int, compute: Callable[[list[int]], Iterable[tuple[int, Unit]]]
) -> Iterator[tuple[int, Unit]]:
    """Give every unit of a plan once: finished ones first, then each missing one as it is computed.

    Parameters
    ----------
    ledger : Ledger, optional
        Keeps each unit before it is given.
    count : int
        Units are numbered from 0.
    compute : callable
        Takes the numbers of the missing units, and gives them in any order.

    Yields
    ------
    number : int
    unit : dict of str to ndarray

    Raises
    ------
    StoreError
        If a unit cannot be kept; units finished before stay.
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


def keep(ledger: Ledger | None, make: Callable[[], xr.Dataset]) -> xr.Dataset:
    """Give a plan's result: read it if it is there and whole, else make it and write it.

    Parameters
    ----------
    ledger : Ledger, optional
        Of the plan; without one nothing is read or written.
    make : callable
        Makes the result from finished units and those still missing; meanwhile no other run
        writes to the plan's folder.

    Raises
    ------
    StoreError
        If another run is writing there, or the result cannot be written.
    """
    if ledger is None:
        return validate(make())
    path = ledger.folder / DATA
    try:
        return read_dataset(path)
    except StoreError:
        # None yet, or damaged: the units have all that is needed to make it.
        with writing(ledger.folder):
            write_dataset(make(), path)
    return read_dataset(path)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is seen complete or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)
