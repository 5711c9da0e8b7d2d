"""All finished units of a plan in one file, and back."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.ledger import CLOSED, PLAN, UNITS, plan_folder

Units = dict[int, dict[str, NDArray[np.generic]]]


def pack(folder: Path, target: Path) -> None:
    """Write a plan and all its units into one file.

    Parameters
    ----------
    folder : Path
        Of the plan.
    target : Path
        An ``.npz`` file.
    """
    arrays = {PLAN: np.frombuffer((folder / PLAN).read_bytes(), np.uint8)}
    for path in sorted((folder / UNITS).glob("*.npz")):
        with np.load(path, allow_pickle=False) as unit:
            arrays |= {f"{path.stem}/{name}": unit[name] for name in unit.files}
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target, allow_pickle=False, **arrays)


def read_units(packed: Path) -> Units:
    """Read the units of a packed plan.

    Raises
    ------
    StoreError
        If the file cannot be read.
    """
    units: Units = {}
    for name, array in _read(packed).items():
        if name != PLAN:
            number, variable = name.split("/")
            units.setdefault(int(number), {})[variable] = array
    return units


def unpack(packed: Path, store: Path) -> Path:
    """Lay a packed plan out in a store again.

    Returns
    -------
    Path
        The plan's folder; two parts of a result may have the same.

    Raises
    ------
    StoreError
        If the file cannot be read.
    """
    plan = _read(packed)[PLAN].tobytes()
    folder = plan_folder(store, plan)
    (folder / UNITS).mkdir(parents=True, exist_ok=True)
    (folder / PLAN).write_bytes(plan)
    for number, unit in read_units(packed).items():
        np.savez_compressed(folder / UNITS / f"{number:06d}.npz", allow_pickle=False, **unit)
    return folder


def close(store: Path) -> None:
    """Let a store take no plan that it does not hold already."""
    (store / CLOSED).touch()


def _read(packed: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with packed.open("rb") as file:
            return dict(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise StoreError(f"{packed} cannot be read: {error}") from error
