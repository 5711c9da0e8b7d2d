"""Large arrays that grow while a run goes: each unit's rows are one whole shard of a zarr store.

Shards are neither compressed nor rewritten: one process writes each of them at once, and every
chunk in it ends in a checksum, which is verified when the chunk is read. A unit counts as finished
once its shards are there and the ledger notes their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import storing
from hrvlab.storage.units import Ledger

if TYPE_CHECKING:
    from hrvlab.storage.units import Unit

SHARDS = "shards.zarr"
SIZES = "shard_bytes"  # in a unit: of its shards, array by array


@dataclass(frozen=True)
class Growing:
    """An array that is written in whole shards, one for each unit.

    Parameters
    ----------
    dims : tuple of str
        The first is the one along which it grows.
    shape : tuple of int
        Of the finished array.
    dtype : str
    chunks : tuple of int
        The part of a unit that is read at once; divides the unit's rows and all other dims.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of its values."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class ShardLedger(Ledger):
    """A ledger whose units hold rows of large arrays besides small ones.

    Parameters
    ----------
    store, plan
        See `hrvlab.storage.units.Ledger`.
    arrays : mapping of str to Growing
        All have as many rows.
    rows : int
        Rows of a unit; the last unit may have fewer.

    Raises
    ------
    ParameterError, StoreError
        See `hrvlab.storage.units.Ledger`.
    """

    def __init__(
        self, store: str | Path, plan: dict[str, Any], arrays: Mapping[str, Growing], rows: int
    ) -> None:
        super().__init__(store, plan)
        self._arrays, self._rows = arrays, rows
        self._root = self.folder / SHARDS

    def read(self, unit: int) -> Unit | None:
        """Return a finished unit's small arrays, or None if it or a shard of it is missing."""
        noted = super().read(unit)
        if noted is None or noted.pop(SIZES).tolist() != self._sizes(unit):
            return None
        return noted

    def begin(self) -> None:
        """Note the versions, and lay out the arrays that units are written to from now on.

        Raises
        ------
        StoreError
            See `hrvlab.storage.units.Ledger.begin`.
        """
        super().begin()
        with storing(self.folder):
            for unfinished in self._root.rglob("*.partial"):  # of processes that were killed
                unfinished.unlink()
            group = zarr.open_group(self._root, mode="a", zarr_format=3)
            for name, array in self._arrays.items():
                if name in group:
                    continue
                group.create_array(
                    name,
                    shape=array.shape,
                    dtype=array.dtype,
                    chunks=array.chunks,
                    shards=(self._rows, *array.shape[1:]),
                    compressors=[Crc32cCodec()],
                    dimension_names=array.dims,
                )

    def finish(self, unit: int, **arrays: NDArray[Any]) -> None:
        """Write a unit's shards, then note it with its small arrays.

        Raises
        ------
        StoreError
            If the disk is full or read-only; units finished before are kept.
        """
        # A chunk of zeros is written too: what is missing would be read as zeros.
        with storing(self.folder), zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(self._root, mode="r+")
            for name in self._arrays:
                rows = arrays.pop(name)
                first = unit * self._rows
                _array(group, name)[first : first + len(rows)] = rows
        super().finish(unit, **arrays, **{SIZES: np.array(self._sizes(unit))})

    def _sizes(self, unit: int) -> list[int]:
        """Return the bytes of a unit's shards, array by array; −1 for one that is missing."""
        paths = (self._root / _shard(name, unit, one) for name, one in self._arrays.items())
        return [path.stat().st_size if path.is_file() else -1 for path in paths]


class Shards:
    """The large arrays of a finished run, read shard by shard or chunk by chunk.

    Parameters
    ----------
    folder : Path
        Of the plan.

    Raises
    ------
    StoreError
        If there are none, or a shard is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder / SHARDS
        try:
            self._group = zarr.open_group(self._root, mode="r")
            self._arrays = dict(self._group.arrays())
        except Exception as error:  # a damaged store fails in many ways
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(f"{self._root} is not a readable zarr store: {reason}") from error
        for name, array in self._arrays.items():
            # Zarr reads a shard that is missing as zeros.
            for unit in range(-(-array.shape[0] // array.shards[0])):
                path = self._root / _shard(name, unit, array)
                if not path.is_file():
                    raise StoreError(
                        f"{path} is missing; run again the command that made it, which computes "
                        "this part anew"
                    )

    def names(self) -> list[str]:
        """List the arrays."""
        return sorted(self._arrays)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self._arrays[name].shape)

    def units(self, name: str) -> Iterator[slice]:
        """Iterate over the rows of an array, shard by shard."""
        array = self._arrays[name]
        for first in range(0, array.shape[0], array.shards[0]):
            yield slice(first, min(first + array.shards[0], array.shape[0]))

    def read(self, name: str, *index: slice | int) -> NDArray[Any]:
        """Read a part of an array, of whose chunks the checksums are verified.

        Raises
        ------
        StoreError
            If the part is damaged or cannot be read.
        """
        try:
            return np.asarray(self._arrays[name][index])
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(
                f"{name} in {self._root} is damaged or cannot be read ({reason}); delete that "
                "folder and run again the command that made it"
            ) from error


def _array(group: Any, name: str) -> Any:
    return group[name]


def _shard(name: str, unit: int, array: Any) -> str:
    """Return the path of a shard within the store, as zarr names it."""
    return "/".join([name, "c", str(unit), *["0"] * (len(array.shape) - 1)])
