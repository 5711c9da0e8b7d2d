"""The ledger of a plan's finished units, so that killed runs resume and results are reused."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.libraries import COMPUTING, computing_versions, describe_versions
from hrvlab.paths import user_path
from hrvlab.storage.atomic import storing, write_whole
from hrvlab.storage.datasets import read_dataset, write_dataset
from hrvlab.storage.locks import writing
from hrvlab.storage.plans import PLAN, as_json, plan_bytes, plan_folder
from hrvlab.storage.run import Run
from hrvlab.storage.schema import validate

DATA, UNITS, VERSIONS = "data.zarr", "ledger", "versions.json"
CLOSED = "closed"  # a store that contains a file of this name accepts no new plan

Unit = dict[str, NDArray[Any]]


class Ledger:
    """The finished units of one plan, each in a file of its own that is written atomically.

    All units of a plan are computed under the same versions of hrvlab and of the libraries that
    numbers depend on, which are noted beside them.

    Parameters
    ----------
    store : str or Path
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

    called = "store"  # what users choose, in messages

    def __init__(self, store: str | Path, plan: dict[str, Any]) -> None:
        self._plan = plan_bytes(plan)
        store = user_path(store)
        self.folder, self.units = self._places(store)
        with storing(self.folder):
            self.closed = (store / CLOSED).exists()
            if self.closed and not self.folder.exists():
                raise StoreError(f"{store} is closed: it holds other plans and accepts no new one")
            self.units.mkdir(parents=True, exist_ok=True)
            self._claim()

    def _places(self, store: Path) -> tuple[Path, Path]:
        """Return the folder of the plan, and that of its units."""
        folder = plan_folder(store, self._plan)
        return folder, folder / UNITS

    def _claim(self) -> None:
        """Check that the folder holds the plan; write it if it is missing or damaged."""
        if not self._holds_plan():
            write_whole(self.folder / PLAN, self._plan)

    def _holds_plan(self) -> bool:
        """Whether the folder holds the plan, not none; another one is refused."""
        plan = json.loads(self._plan)
        try:
            there = json.loads((self.folder / PLAN).read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        if there != plan:
            names = {*there, *plan}
            other = sorted(name for name in names if there.get(name) != plan.get(name))
            raise StoreError(
                f"{self.folder} holds another plan, which differs in {', '.join(other)}; move that "
                f"folder away, or use another {self.called}"
            )
        return True

    def _count(self) -> int:
        """Count the files of finished units."""
        return len(list(self.units.glob("*.npz")))

    def _path(self, unit: int) -> Path:
        return self.units / f"{unit:06d}.npz"

    def read(self, unit: int) -> Unit | None:
        """Return a finished unit's arrays, or None if it is missing or damaged."""
        content = self._content(self._path(unit))
        if content is None:
            return None
        try:
            arrays = dict(np.load(io.BytesIO(content), allow_pickle=False))
        except Exception:
            # A damaged archive fails in many ways; its checksums ensure that it does fail.
            return None
        # A flipped bit in its directory can hide an array; its last record counts them.
        return arrays if len(arrays) == int.from_bytes(content[-12:-10], "little") else None

    def _content(self, path: Path) -> bytes | None:
        """Read a file of a unit, or return None if it is missing."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"cannot read the finished unit {path}: {error.strerror or error}; make it "
                f"readable, or use another {self.called}"
            ) from error

    def versions(self) -> dict[str, str]:
        """Return the versions that the finished units were computed under, as far as noted."""
        try:
            return json.loads((self.folder / VERSIONS).read_bytes())
        except (FileNotFoundError, ValueError):
            return dict.fromkeys(COMPUTING, "unknown")

    def begin(self) -> None:
        """Note the versions that units are computed under from now on.

        Raises
        ------
        StoreError
            If units were finished under other versions, or the folder cannot be written.
        """
        here = computing_versions()
        with storing(self.folder):
            finished = self._count()
            other = describe_versions(self.versions(), here)
            # Units of a closed store are computed again in order to be compared.
            if finished and other and not self.closed:
                raise StoreError(
                    f"{self.folder} holds finished units ({finished}) of other versions: {other}; "
                    "units of several versions are not mixed: install those versions to go on, or "
                    f"use another {self.called} to begin anew"
                )
            # Also proves, before anything is computed, that units can be written.
            write_whole(self.folder / VERSIONS, json.dumps(here, indent=1).encode())

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
        If units were finished under other versions of the libraries, before anything is computed;
        or if a unit cannot be written: units finished before are kept.
    """
    missing = []
    for number in range(count):
        unit = ledger.read(number) if ledger else None
        if unit is None:
            missing.append(number)
        else:
            yield number, unit
    if ledger and missing:
        ledger.begin()
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

    Reading a finished result requires neither a lock nor write permission, even if it has to be
    assembled from its units; it is then not written.

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
    if found is None and os.access(ledger.folder, os.W_OK):
        with writing(ledger.folder):
            write_dataset(make(), path, "finished units are kept")
            found = read_dataset(path)
    return Run(validate(make()) if found is None else found, ledger.folder)


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
