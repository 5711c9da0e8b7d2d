"""The same work on a dask.distributed cluster: units go out, and come back in any order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from distributed import Client, KilledWorker, as_completed

from hrvlab.errors import ClusterError, ModelError
from hrvlab.generation import ONE_AT_A_TIME
from hrvlab.models.load import MINIATURE, fingerprint, load, scheduler_settings
from hrvlab.paths import data_path
from hrvlab.store import LIBRARIES

SECONDS_TO_CONNECT = 20


@dataclass(frozen=True)
class Source:
    """Where a worker finds the client's pipeline, and how it sees that it is the same.

    Parameters
    ----------
    model : str
        What `load` takes.
    dtype : torch.dtype
    threads : int
        PyTorch's CPU threads; another number adds up floats in another order.
    identity : str
        Weights, scheduler and versions, as JSON.
    """

    model: str
    dtype: torch.dtype
    threads: int
    identity: str

    @classmethod
    def of(cls, pipe: DiffusionPipeline) -> Source:
        """Describe a pipeline.

        Raises
        ------
        ModelError
            If it was not loaded from a folder or hub, so that no worker could.
        """
        name = pipe.config.get("_name_or_path")
        if not name:
            raise ModelError(
                "workers load the pipeline themselves, and this one was made in memory; save it "
                "with save_pretrained and load it from there"
            )
        folder = Path(name).resolve()
        if folder == data_path(MINIATURE).resolve():
            name = MINIATURE
        elif folder.is_dir():
            name = str(folder)
        return cls(name, pipe.unet.dtype, torch.get_num_threads(), _identity(pipe))

    def load(self) -> DiffusionPipeline:
        """Load the pipeline onto this machine's accelerator, or its CPU.

        Raises
        ------
        ModelError
            If it is not the same here.
        """
        pipe = load(self.model, dtype=self.dtype)
        here, there = json.loads(_identity(pipe)), json.loads(self.identity)
        if other := [name for name in there if here[name] != there[name]]:
            raise ModelError(
                f"{self.model} differs on a worker from yours in {', '.join(other)}; install the "
                "same versions, and save a changed pipeline with save_pretrained and load it from "
                "there"
            )
        return pipe


def _identity(pipe: DiffusionPipeline) -> str:
    versions = {name: version(name) for name in ("hrvlab", *LIBRARIES)}
    parts = {"weights": fingerprint(pipe), "scheduler": scheduler_settings(pipe), **versions}
    return json.dumps(parts, sort_keys=True)


def connect(address: str) -> Client:
    """Connect to a running scheduler.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.

    Raises
    ------
    ClusterError
        If there is none.
    """
    try:
        return Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"there is no dask scheduler at {address!r}; give an address such as "
            "'tcp://host:8786', which `dask scheduler` says when it starts"
        ) from error


def spread(
    client: Client,
    pipe: DiffusionPipeline,
    make: Callable[..., Callable[..., Any]],
    given: tuple[Any, ...],
    units: Mapping[int, tuple[Any, ...]],
) -> Iterator[tuple[int, Any]]:
    """Let a cluster's workers compute units, and give each as soon as it is back.

    Every worker loads the pipeline once; it never travels. A worker that dies costs the units it
    was at, which dask gives to another. Only the caller writes anything down.

    Parameters
    ----------
    client : distributed.Client
    pipe : diffusers.DiffusionPipeline
        As loaded from a folder or hub that workers reach by the same name.
    make : callable
        Of a module's top level; ``make(pipe, *given)`` gives, once a worker, what computes a unit.
    given : tuple
        Hashable.
    units : mapping of int to tuple
        Arguments of each unit.

    Yields
    ------
    number : int
    result
        As the unit's computation gave it.

    Raises
    ------
    ModelError
        If workers cannot load the same pipeline.
    ClusterError
        If the scheduler goes, or a unit loses worker after worker.
    """
    source = Source.of(pipe)
    numbers = {
        client.submit(_work, source, make, given, unit, pure=False): number
        for number, unit in units.items()
    }
    try:
        for future in as_completed(list(numbers), loop=client.loop):
            number = numbers.pop(future)
            try:
                result = future.result()
            except KilledWorker as error:
                raise ClusterError(
                    f"every worker that was at unit {number} died, {error.last_worker.address} "
                    "last; its log tells why, most often a want of memory"
                ) from error
            except CancelledError as error:
                raise ClusterError(
                    "the scheduler went away; start one, and run the same command again"
                ) from error
            yield number, result
    finally:
        if client.status == "running":
            client.cancel(list(numbers))


def _work(
    source: Source,
    make: Callable[..., Callable[..., Any]],
    given: tuple[Any, ...],
    unit: tuple[Any, ...],
) -> Any:
    """Compute one unit on a worker, alone in its process."""
    with ONE_AT_A_TIME:
        # Dask starts workers with one thread, whatever the machine.
        torch.set_num_threads(source.threads)
        return _made(source, make, given)(*unit)


@lru_cache(maxsize=1)
def _pipeline(source: Source) -> DiffusionPipeline:
    return source.load()


@lru_cache(maxsize=1)
def _made(
    source: Source, make: Callable[..., Callable[..., Any]], given: tuple[Any, ...]
) -> Callable[..., Any]:
    return make(_pipeline(source), *given)
