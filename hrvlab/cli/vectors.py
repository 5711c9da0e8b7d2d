"""Options of commands that use Head Relevance Vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    import xarray as xr

HELP = "'miniature', or Head Relevance Vectors: relevance.zarr of `hrvlab votes`."
Vectors = Annotated[str, typer.Option(help=HELP)]
Strength = Annotated[float, typer.Option(help="Of the vector: 0 changes nothing.")]


def read_vectors(given: str) -> xr.DataArray:
    """Read Head Relevance Vectors: those of the miniature that ship, or saved ones.

    Raises
    ------
    SchemaError, StoreError
    """
    if given == MINIATURE:
        # Imported here so that help and errors of parameters need not wait for it.
        from hrvlab.relevance.vectors import relevance
        from hrvlab.results import read_result

        return relevance(read_result("votes").data)
    from hrvlab.relevance.io import load_relevance

    return load_relevance(given)
