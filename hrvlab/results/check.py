"""Compute a few units of a finished result again, and compare them with those that ship."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hrvlab.errors import DiskError, StoreError
from hrvlab.results.make import PACKED, read_result, threads_of_results
from hrvlab.storage.archives import close, read_units, unpack
from hrvlab.storage.atomic import temporary_folder
from hrvlab.storage.units import UNITS

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import Study
    from hrvlab.storage.archives import Units
    from hrvlab.storage.run import Run

# Another processor rounds differently, and one rounding may tip a vote.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """An array of a unit as it ships, compared with the same array computed again.

    Parameters
    ----------
    part : str
    unit : int
    variable : str
    difference : float
        Mean absolute difference, in standard deviations of the shipped arrays of all units.
    """

    part: str
    unit: int
    variable: str
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is no larger than rounding may cause."""
        return self.difference <= TOLERANCE


def check_result(
    study: Study,
    pipe: DiffusionPipeline,
    results: Path,
    *,
    share: float = 0.02,
    seed: int = 0,
) -> list[Comparison]:
    """Compute a random share of a result's units again, and compare them with those that ship.

    Parameters
    ----------
    study : Study
    pipe : diffusers.DiffusionPipeline
    results : Path
        Folder of all results.
    share : float
        Of all units of the study; at least one is computed.
    seed : int
        Of the random choice.

    Returns
    -------
    list of Comparison
        One for each array of each chosen unit.

    Raises
    ------
    StoreError
        If there is no result of the study or of one that it needs, or if it was made by another
        plan: with another model, with other settings, or by another version of the algorithm.
    DiskError
        If temporary files cannot be written; nothing else is.
    """
    for name in (*study.needs, study.name):
        read_result(name, results)
    shipped = shipped_units(study, results)
    chosen = choose_units(shipped, share, seed)
    with temporary_folder() as scratch:
        parts = compute_again(study, pipe, results, chosen, scratch)
        compared = []
        for label, part in parts.items():
            for unit in chosen[label]:
                path = part.stored() / UNITS / f"{unit:06d}.npz"
                with np.load(path, allow_pickle=False) as again:
                    compared += [
                        Comparison(
                            label, unit, name, _distance(shipped[label], unit, name, again[name])
                        )
                        for name, values in shipped[label][unit].items()
                        if values.dtype.kind != "U"  # names are not recomputed
                    ]
    return compared


def shipped_units(study: Study, results: Path) -> dict[str, Units]:
    """Read the units of a result that ships, by the label of their part."""
    return {path.stem: read_units(path) for path in _packed(study.name, results)}


def compute_again(
    study: Study,
    pipe: DiffusionPipeline,
    results: Path,
    chosen: Mapping[str, Collection[int]],
    store: Path,
) -> Mapping[str, Run]:
    """Run a study in which all units but some are finished as they ship.

    Parameters
    ----------
    study : Study
    pipe : diffusers.DiffusionPipeline
    results : Path
        Folder of all results.
    chosen : mapping of str to collection of int
        For each part, the units that are computed.
    store : Path
        Gets all units and the images of those that are computed.

    Returns
    -------
    mapping of str to Run
        The parts, by label.

    Raises
    ------
    StoreError
        If the result was made by another plan.
    DiskError
        If the store cannot be written.
    """
    for name in study.needs:
        unpack_result(name, results, store)
    folders = unpack_result(study.name, results, store)
    for label, units in chosen.items():
        for unit in units:
            # Two parts with the same plan share a folder.
            (folders[label] / UNITS / f"{unit:06d}.npz").unlink(missing_ok=True)
    try:
        with threads_of_results():
            return study.run(pipe, store)
    except DiskError:
        raise
    except StoreError as error:
        raise StoreError(
            f"the result {study.name!r} was made by another plan than today's ({error}); make "
            f"it again with: hrvlab results {study.name}"
        ) from error


def unpack_result(name: str, results: Path, store: Path) -> dict[str, Path]:
    """Unpack all units of a result into a store, which then accepts no other plan of that study.

    Parameters
    ----------
    name : str
        Of a study.
    results : Path
        Folder of all results.
    store : Path
        Gets a folder of the study's name.

    Returns
    -------
    dict of str to Path
        The folder of each part's plan, by label.

    Raises
    ------
    StoreError
        If units cannot be read.
    """
    folders = {path.stem: unpack(path, store / name) for path in _packed(name, results)}
    close(store / name)
    return folders


def _packed(name: str, results: Path) -> list[Path]:
    """List the packed units of a result, one file for each part."""
    packed = sorted((results / name / PACKED).glob("*.npz"))
    if not packed:
        raise StoreError(f"the result {name!r} holds no units; make it with: hrvlab results {name}")
    return packed


def choose_units(shipped: Mapping[str, Units], share: float, seed: int) -> dict[str, set[int]]:
    """Choose a random share of the units of all parts, at least one."""
    units = [(label, unit) for label, units in shipped.items() for unit in units]
    rng = np.random.Generator(np.random.Philox(key=seed))
    drawn = rng.choice(len(units), max(1, round(share * len(units))), replace=False)
    chosen: dict[str, set[int]] = {label: set() for label in shipped}
    for index in drawn:
        label, unit = units[index]
        chosen[label].add(unit)
    return chosen


def _distance(shipped: Units, unit: int, name: str, again: NDArray[np.generic]) -> float:
    """Average the absolute differences, in standard deviations of the shipped arrays."""
    everywhere = np.concatenate([arrays[name].ravel() for arrays in shipped.values()])
    spread = float(everywhere.astype(np.float64).std()) or 1.0
    difference = again.astype(np.float64) - shipped[unit][name].astype(np.float64)
    return float(np.abs(difference).mean()) / spread
