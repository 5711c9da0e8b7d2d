"""Processes that are killed, by SIGKILL, at a chosen point."""

import asyncio
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from distributed import Worker

# A server that has imported these modules forks a process quickly.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "hrvlab", "hrvlab.cluster", "tests.faults"])

FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def die_at(point: int, store: Path | None = None) -> None:
    """Kill this process at its n-th point: a denoiser call, or an access to a file in a store."""
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def at_call(module, _) -> None:
        if isinstance(module, UNet2DConditionModel):
            count()

    def at_access(event, arguments) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(store)):
            count()

    torch.nn.modules.module.register_module_forward_pre_hook(at_call)
    if store:
        sys.addaudithook(at_access)


def run_and_die(work, store: Path, point: int) -> int:
    """Run work on a store in a process that dies at a point; return its exit code, 0 if it ends."""
    # Rounding may depend on the number of threads, so both processes use the same.
    arguments = (work, store, point, torch.get_num_threads())
    process = FORKS.Process(target=_work, args=arguments)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _work(work, store: Path, point: int, threads: int) -> None:
    torch.set_num_threads(threads)
    die_at(point, store)
    work(store)


def start_worker(scheduler: str, point: int = 0):
    """Start a dask worker that dies at its n-th denoiser call, or never if the point is 0."""
    process = FORKS.Process(target=_serve, args=(scheduler, point), daemon=True)
    process.start()
    return process


def _serve(scheduler: str, point: int) -> None:
    die_at(point)

    async def serve() -> None:
        # Two threads, which share one pipeline.
        async with Worker(scheduler, nthreads=2) as worker:
            await worker.finished()

    asyncio.run(serve())
