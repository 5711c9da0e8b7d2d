"""The option of commands that use the workers of a cluster."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from distributed import Client

    from hrvlab.options import LoadOptions

ADDRESS = re.compile(r"(\w+://)?[^/\s]+:\d+")
Cluster = Annotated[
    str | None,
    typer.Option(help="Address of a dask scheduler, such as tcp://host:8786, to use its workers."),
]


def check_cluster(cluster: str | None, loading: LoadOptions, dry_run: bool) -> None:
    """Check the address of a cluster, and what cannot go with it.

    Raises
    ------
    ParameterError
    """
    if ADDRESS.fullmatch(loading.scheduler or ""):
        raise ParameterError(
            "--scheduler is the model's own; give the address of dask's as --cluster "
            f"{loading.scheduler}"
        )
    if cluster and dry_run:
        raise ParameterError("--dry-run measures on this machine; leave out --cluster")
    if cluster and loading.device:
        raise ParameterError("workers choose their own device; leave out --device")
    if cluster and not ADDRESS.fullmatch(cluster):
        raise ParameterError(
            f"there is no dask scheduler at {cluster!r}: an address has a host and a port, such "
            "as 'tcp://host:8786', which `dask scheduler` prints when it starts"
        )


def connected(cluster: str | None) -> AbstractContextManager[Client | None]:
    """Connect to a cluster for a block; without an address there is no client."""
    if cluster is None:
        return nullcontext()
    # Imported here because dask takes half a second, which other runs need not wait.
    from hrvlab.cluster import connect

    return connect(cluster)
