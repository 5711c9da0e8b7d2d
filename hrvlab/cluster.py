"""Distribute the units of a run to the workers of a dask.distributed cluster."""

from __future__ import annotations

import json
import logging
import pickle
import platform
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from distributed import Client, KilledWorker
from distributed.protocol.pickle import dumps

from hrvlab.errors import ClusterError, HrvlabError, ModelError
from hrvlab.generation import ONE_AT_A_TIME
from hrvlab.libraries import computing_versions, describe_versions
from hrvlab.models.families import denoiser_of
from hrvlab.models.load import (
    fingerprint,
    load,
    loaded_with,
    scheduler_settings,
    surroundings,
)
from hrvlab.paths import MINIATURE, data_path, user_path
from hrvlab.watch import Sign, watched

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from distributed import Future

SECONDS_TO_CONNECT = 20


@dataclass(frozen=True)
class Source:
    """The source that workers load the client's pipeline from, and the pipeline's identity.

    Parameters
    ----------
    model : str
        For `hrvlab.load`.
    dtype : torch.dtype
    threads : int
        PyTorch's CPU threads; another number would add up floats in another order.
    options : tuple of (str, object)
        Further keywords of `hrvlab.load`, as the pipeline was loaded with; each worker chooses its
        own device.
    identity : str
        Weights and scheduler, as JSON.
    versions : str
        Of hrvlab and of the libraries that numbers depend on, as JSON.
    """

    model: str
    dtype: torch.dtype
    threads: int
    options: tuple[tuple[str, Any], ...]
    identity: str
    versions: str

    @classmethod
    def of(cls, pipe: DiffusionPipeline) -> Source:
        """Return the source of a pipeline.

        Raises
        ------
        ModelError
            If it was not loaded from a folder or hub, so that no worker could load it.
        """
        name = pipe.config.get("_name_or_path")
        if not name:
            raise ModelError(
                "workers load the pipeline themselves, but this one was made in memory; save it "
                "with save_pretrained and load it from there"
            )
        name = MINIATURE if Path(name).resolve() == data_path(MINIATURE).resolve() else _there(name)
        return cls(
            name,
            denoiser_of(pipe).dtype,
            torch.get_num_threads(),
            _options(pipe),
            _identity(pipe),
            json.dumps(computing_versions()),
        )

    def load(self) -> DiffusionPipeline:
        """Load the pipeline onto this machine's accelerator, or its CPU.

        Raises
        ------
        ModelError
            If it differs from the client's.
        ClusterError
            If other versions are installed here; they are compared before anything is loaded.
        """
        if other := describe_versions(computing_versions(), json.loads(self.versions)):
            raise ClusterError(
                f"a worker on {platform.node()} has other versions than this process: {other}; "
                "units of several versions are not mixed: install the same ones there"
            )
        pipe = load(self.model, dtype=self.dtype, **dict(self.options))
        here, there = json.loads(_identity(pipe)), json.loads(self.identity)
        if changed := [name for name in there if here[name] != there[name]]:
            raise ModelError(
                f"{self.model} differs on a worker from yours in {', '.join(changed)}; save a "
                "changed pipeline with save_pretrained and load it from there"
            )
        return pipe


def _there(name: str) -> str:
    """Return a name as workers in another folder find it."""
    path = user_path(name).resolve()
    return str(path) if path.exists() else name


def _options(pipe: DiffusionPipeline) -> tuple[tuple[str, Any], ...]:
    """Return the options that a pipeline was loaded with, besides device, offloading and dtype."""
    options = loaded_with(pipe)
    return (
        ("variant", options.variant),
        ("config", None if options.config is None else _there(str(options.config))),
        ("lora", tuple(f"{_there(source)}:{scale}" for source, scale in options.loras)),
        ("scheduler", options.scheduler),
        ("slicing", options.slicing),
        ("tiling", options.tiling),
    )


def _identity(pipe: DiffusionPipeline) -> str:
    """Serialize a pipeline's weights and scheduler as JSON."""
    parts = {
        "weights": fingerprint(pipe),
        "scheduler": scheduler_settings(pipe),
        **surroundings(pipe),
    }
    return json.dumps(parts, sort_keys=True)


class _Task:
    """A call that is made when it is unpickled, so that it can be sent as mere bytes.

    A worker that lacks a module can then read the message, and fails at this task alone.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def connect(address: str) -> Client:
    """Connect to a running scheduler.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.

    Raises
    ------
    ClusterError
        If there is no scheduler at that address.
    """
    try:
        return Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except Exception as error:  # every protocol has errors of its own
        raise ClusterError(
            f"there is no dask scheduler at {address!r}; give an address such as "
            "'tcp://host:8786', which `dask scheduler` prints when it starts"
        ) from error


def spread(
    client: Client,
    pipe: DiffusionPipeline,
    make: Callable[..., Callable[..., Any]],
    given: tuple[Any, ...],
    units: Mapping[int, tuple[Any, ...]],
) -> Iterator[tuple[int, Any]]:
    """Compute units on a cluster's workers, and yield each as soon as it is finished.

    Every worker loads the pipeline once; it is never sent. If a worker dies, dask passes its
    unfinished units to another. Only the caller writes to the store. The run ends at the first unit
    that fails: workers without hrvlab, or with other versions of it or of the libraries that
    numbers depend on, say so before they load anything, and a worker that hangs is named after half
    an hour in which it has neither loaded the pipeline nor called the denoiser.

    Parameters
    ----------
    client : distributed.Client
    pipe : diffusers.DiffusionPipeline
        Loaded from a folder or hub that workers can reach by the same name.
    make : callable
        Defined at a module's top level; ``make(pipe, *given)``, called once per worker, returns the
        function that computes a unit.
    given : tuple
        Hashable.
    units : mapping of int to tuple
        Arguments of that function for each unit.

    Yields
    ------
    number : int
    result
        What the function returns for the unit.

    Raises
    ------
    ModelError
        If workers cannot load the same pipeline.
    ClusterError
        If a worker lacks hrvlab or has other versions, or hangs, the scheduler is lost, or several
        workers die while they compute the same unit.
    """
    source = Source.of(pipe)
    known = client.scheduler_info()
    if not known["workers"]:
        logging.getLogger(__name__).warning(
            "waiting for workers: start some with `dask worker %s`", known["address"]
        )
    numbers = {
        client.submit(
            pickle.loads, dumps(_Task(_work, source, make, given, unit)), pure=False
        ): number
        for number, unit in units.items()
    }
    try:
        for future in watched(client, numbers):
            number = numbers.pop(future)
            yield number, _result(future, number, source)
    finally:
        if client.status == "running":
            client.cancel(list(numbers))


def _result(future: Future[Any], number: int, source: Source) -> Any:
    """Return the result of a unit that is finished, or raise what went wrong."""
    try:
        return future.result()
    except KilledWorker as error:
        raise ClusterError(
            f"every worker that computed unit {number} died, the last one at "
            f"{error.last_worker.address}; see its log, they most often run out of memory"
        ) from error
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"a worker cannot load {error.name}: install hrvlab "
            f"{json.loads(source.versions)['hrvlab']} wherever workers run, with the "
            "versions of the libraries that are installed here"
        ) from error
    except CancelledError as error:
        raise ClusterError(
            "the scheduler was lost; start it and run the same command again"
        ) from error
    except HrvlabError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ClusterError(f"unit {number} failed on a worker: {reason}") from error


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
    """Load the pipeline once per worker."""
    pipe, sign = source.load(), Sign()
    sign()
    denoiser_of(pipe).register_forward_pre_hook(sign)
    return pipe


@lru_cache(maxsize=1)
def _made(
    source: Source, make: Callable[..., Callable[..., Any]], given: tuple[Any, ...]
) -> Callable[..., Any]:
    """Make the function that computes units, once per worker."""
    return make(_pipeline(source), *given)
