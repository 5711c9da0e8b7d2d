"""The ``.hrv`` accessor: what is naturally a method of votes and of vectors."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from hrvlab.relevance import published, vectors


@xr.register_dataset_accessor("hrv")
class VotesAccessor:
    """Methods of a votes dataset."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._votes = dataset

    def relevance(self) -> xr.DataArray:
        """See `hrvlab.relevance.vectors.relevance`."""
        return vectors.relevance(self._votes)

    def relevance_by_timestep(self) -> xr.DataArray:
        """See `hrvlab.relevance.vectors.relevance_by_timestep`."""
        return vectors.relevance_by_timestep(self._votes)

    def relevance_by_half(self) -> xr.DataArray:
        """See `hrvlab.relevance.vectors.relevance_by_half`."""
        return vectors.relevance_by_half(self._votes)


@xr.register_dataarray_accessor("hrv")
class VectorsAccessor:
    """Methods of Head Relevance Vectors."""

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    def rank(self) -> xr.DataArray:
        """See `hrvlab.relevance.vectors.rank`."""
        return vectors.rank(self._array)

    def unstack_heads(self) -> xr.DataArray:
        """See `hrvlab.relevance.vectors.unstack_heads`."""
        return vectors.unstack_heads(self._array)

    def stack_heads(self, table: xr.Dataset) -> xr.DataArray:
        """See `hrvlab.relevance.vectors.stack_heads`."""
        return vectors.stack_heads(self._array, table)

    def to_published(self, folder: str | Path, name: str) -> tuple[Path, Path]:
        """See `hrvlab.relevance.published.write_published`."""
        return published.write_published(self._array, folder, name)
