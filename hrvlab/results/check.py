"""Compute a few units of a finished result anew, and compare them with what ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.ledger import UNITS
from hrvlab.results.packing import Units, close, read_units, unpack
from hrvlab.results.study import Study, folder_of, read_result

# Another processor rounds otherwise, and a rounding may tip a vote.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """One array of one unit, as it ships and as it was computed anew.

    Parameters
    ----------
    part : str
    unit : int
    variable : str
    difference : float
        Mean absolute difference, in standard deviations of what ships in all units.
    """

    part: str
    unit: int
    variable: str
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is as small as rounding makes it."""
        return self.difference <= TOLERANCE


def check_result(
    study: Study,
    pipe: DiffusionPipeline,
    results: Path,
    *,
    share: float = 0.02,
    seed: int = 0,
) -> list[Comparison]:
    """Compute a random share of a result's units anew.

    Parameters
    ----------
    study : Study
    pipe : diffusers.DiffusionPipeline
    results : Path
        Folder of all results.
    share : float
        Of all units; at least one of the study is computed.
    seed : int
        Chooses them.

    Returns
    -------
    list of Comparison

    Raises
    ------
    StoreError
        If there is no result, or none of a study that it needs, or it was made by another plan:
        another model, other settings, or another version of the algorithm.
    """
    for name in (*study.needs, study.name):
        read_result(name, results)
    shipped = {
        path.stem: read_units(path) for path in sorted((results / study.name / "units").iterdir())
    }
    chosen = _choose(shipped, share, seed)
    with TemporaryDirectory() as scratch:
        store = Path(scratch)
        for name in (*study.needs, study.name):
            packed = sorted((results / name / "units").iterdir())
            folders = {path.stem: unpack(path, store / name) for path in packed}
            close(store / name)
        # The last of them were the study's own.
        for label, units in chosen.items():
            for unit in units:
                (folders[label] / UNITS / f"{unit:06d}.npz").unlink(missing_ok=True)
        try:
            parts = study.run(pipe, store)
        except StoreError as error:
            raise StoreError(
                f"the result {study.name!r} was made by another plan than today's ({error}); make "
                f"it anew with: hrvlab results {study.name}"
            ) from error
        compared = []
        for label, part in parts.items():
            for unit in chosen[label]:
                path = folder_of(part) / UNITS / f"{unit:06d}.npz"
                with np.load(path, allow_pickle=False) as anew:
                    compared += [
                        Comparison(
                            label, unit, name, _distance(shipped[label], unit, name, anew[name])
                        )
                        for name in anew.files
                    ]
    return compared


def _choose(shipped: Mapping[str, Units], share: float, seed: int) -> dict[str, set[int]]:
    """Choose units of every part, at least one in all."""
    units = [(label, unit) for label, units in shipped.items() for unit in units]
    rng = np.random.Generator(np.random.Philox(key=seed))
    drawn = rng.choice(len(units), max(1, round(share * len(units))), replace=False)
    chosen: dict[str, set[int]] = {label: set() for label in shipped}
    for index in drawn:
        label, unit = units[index]
        chosen[label].add(unit)
    return chosen


def _distance(shipped: Units, unit: int, name: str, anew: NDArray[np.generic]) -> float:
    everywhere = np.concatenate([arrays[name].ravel() for arrays in shipped.values()])
    spread = float(everywhere.astype(np.float64).std()) or 1.0
    difference = anew.astype(np.float64) - shipped[unit][name].astype(np.float64)
    return float(np.abs(difference).mean()) / spread
