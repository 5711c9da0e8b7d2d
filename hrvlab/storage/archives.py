"""Pack all finished units of a plan into one file, and unpack them again."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import storing
from hrvlab.storage.plans import PLAN, plan_folder
from hrvlab.storage.units import CLOSED, UNITS

Units = dict[int, dict[str, NDArray[np.generic]]]


def pack(folder: Path, target: Path) -> None:
    """Write a plan and all its units into one file.

    Parameters
    ----------
    folder : Path
        The plan's folder.
    target : Path
        An ``.npz`` file.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    with storing(target, f"units are kept in {folder}"):
        arrays = {PLAN: np.frombuffer((folder / PLAN).read_bytes(), np.uint8)}
        for path in sorted((folder / UNITS).glob("*.npz")):
            with np.load(path, allow_pickle=False) as unit:
                arrays |= {f"{path.stem}/{name}": unit[name] for name in unit.files}
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(target, allow_pickle=False, **arrays)


def read_units(packed: Path) -> Units:
    """Read the units of a packed plan.

    Parameters
    ----------
    packed : Path
        Written by `pack`.

    Returns
    -------
    dict of int to dict of str to ndarray
        The arrays of each unit, by its number.

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
    """Unpack a plan into a store.

    Parameters
    ----------
    packed : Path
        Written by `pack`.
    store : Path

    Returns
    -------
    Path
        The plan's folder; equal plans share one folder.

    Raises
    ------
    StoreError
        If the file cannot be read, or the store cannot be written.
    """
    plan = _read(packed)[PLAN].tobytes()
    folder = plan_folder(store, plan)
    with storing(folder, f"{packed} is kept"):
        (folder / UNITS).mkdir(parents=True, exist_ok=True)
        (folder / PLAN).write_bytes(plan)
        for number, unit in read_units(packed).items():
            np.savez_compressed(folder / UNITS / f"{number:06d}.npz", allow_pickle=False, **unit)
    return folder


def close(store: Path) -> None:
    """Close a store to new plans; plans that it holds already can still be resumed."""
    with storing(store):
        (store / CLOSED).touch()


def _read(packed: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with packed.open("rb") as file:
            arrays = dict(np.load(file, allow_pickle=False))
        if PLAN not in arrays:
            raise ValueError("it holds no plan")
        return arrays
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise StoreError(f"{packed} cannot be read: {error}") from error
