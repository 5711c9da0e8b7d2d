"""The ``.hrv`` accessor: methods of votes datasets and of Head Relevance Vectors."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from hrvlab.relevance import vectors


@xr.register_dataset_accessor("hrv")
class VotesAccessor:
    """Methods of a votes dataset."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._votes = dataset

    def relevance(self) -> xr.DataArray:
        """Build Head Relevance Vectors: see `hrvlab.relevance.vectors.relevance`."""
        return vectors.relevance(self._votes)

    def relevance_by_timestep(self) -> xr.DataArray:
        """Build vectors for each call: see `hrvlab.relevance.vectors.relevance_by_timestep`."""
        return vectors.relevance_by_timestep(self._votes)

    def relevance_by_half(self) -> xr.DataArray:
        """Build vectors from each half: see `hrvlab.relevance.vectors.relevance_by_half`."""
        return vectors.relevance_by_half(self._votes)


@xr.register_dataarray_accessor("hrv")
class VectorsAccessor:
    """Methods of Head Relevance Vectors."""

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    def rank(self) -> xr.DataArray:
        """Rank the heads of each concept: see `hrvlab.relevance.vectors.rank`."""
        return vectors.rank(self._array)

    def unstack_heads(self) -> xr.DataArray:
        """Arrange heads as layer × head: see `hrvlab.relevance.vectors.unstack_heads`."""
        return vectors.unstack_heads(self._array)

    def stack_heads(self, table: xr.Dataset) -> xr.DataArray:
        """Arrange heads as flat positions: see `hrvlab.relevance.vectors.stack_heads`."""
        return vectors.stack_heads(self._array, table)

    def to_published(self, folder: str | Path, name: str) -> tuple[Path, Path]:
        """Write the published form: see `hrvlab.relevance.io.write_published`."""
        # Imported here because `import hrvlab` need not wait for zarr.
        from hrvlab.relevance import io

        return io.write_published(self._array, folder, name)
