"""Processes that can be made to die, by SIGKILL, at a point of our choice."""

import asyncio
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from distributed import Worker

# A server that has imported all this once forks a process in a blink.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "hrvlab", "hrvlab.cluster", "tests.faults"])

TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def die_at(point: int, store: Path | None = None) -> None:
    """Kill this process at its n-th point: a call of a UNet, or a touch of a file in a store."""
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def at_call(module, _) -> None:
        if isinstance(module, UNet2DConditionModel):
            count()

    def at_touch(event, arguments) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(str(store)):
            count()

    torch.nn.modules.module.register_module_forward_pre_hook(at_call)
    if store:
        sys.addaudithook(at_touch)


def run_and_die(work, store: Path, point: int) -> int:
    """Let a process do work on a store and die at a point; gives its exit code, 0 if it lived."""
    # Rounding may depend on the number of threads: it works with as many as this process.
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
    """Start a dask worker that dies at its n-th call of a UNet, or lives."""
    process = FORKS.Process(target=_serve, args=(scheduler, point), daemon=True)
    process.start()
    return process


def _serve(scheduler: str, point: int) -> None:
    die_at(point)

    async def serve() -> None:
        # Two threads, which have one pipeline between them.
        async with Worker(scheduler, nthreads=2) as worker:
            await worker.finished()

    asyncio.run(serve())
