"""Processes that are killed or stopped, and disks that fail, at a chosen point."""

import asyncio
import errno
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from distributed import Worker

from hrvlab import libraries
from hrvlab.cli import main

# A server that has imported these modules forks a process quickly.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "hrvlab", "hrvlab.cluster", "tests.faults"])

FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
STOP = "HRVLAB_TEST_STOP"  # tells processes that a command starts when to stop it


def die_at(
    point: int,
    store: Path | None = None,
    number: int = signal.SIGKILL,
    processes: Sequence[int] = (),
) -> None:
    """Kill this process at its n-th point: a denoiser call, or an access to a file in a store.

    Another signal than SIGKILL may be sent instead, and to other processes.
    """
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            for process in processes or [os.getpid()]:
                os.kill(process, number)

    def at_call(module, _) -> None:
        if isinstance(module, UNet2DConditionModel):
            count()

    def at_access(event, arguments) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(store)):
            count()

    torch.nn.modules.module.register_module_forward_pre_hook(at_call)
    if store:
        sys.addaudithook(at_access)


def tell_to_stop(point: int, number: int) -> None:
    """Let a process that this one starts stop it at a point of its own."""
    os.environ[STOP] = json.dumps([point, number, os.getpid()])


def told_to_stop() -> tuple[int, int, list[int]]:
    """Return the point, the signal and whom to send it; no point is 0."""
    point, number, command = json.loads(os.environ.get(STOP, "[0, 0, 0]"))
    # A terminal sends Ctrl-C to every process, who uses `kill` stops only the command.
    return point, number, [command, os.getpid()] if number == signal.SIGINT else [command]


def stop_as_told(store: Path | str) -> None:
    """Stop the command that this process works for where it was told to."""
    point, number, processes = told_to_stop()
    if point:
        die_at(point, Path(store), number, processes)


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


def run_command(
    arguments, log: Path, point: int = 0, store: Path | None = None, number: int = 0, prepare=None
):
    """Run the command line in a process that is sent a signal at a point; return its exit code.

    What it prints on stderr goes to the log. A function may prepare the process.
    """
    command = ["hrvlab", *map(str, arguments)]
    given = (command, log, point, store, number, torch.get_num_threads(), prepare)
    process = FORKS.Process(target=_command, args=given)
    process.start()
    process.join()
    return process.exitcode


def _command(command, log: Path, point: int, store, number: int, threads: int, prepare) -> None:
    torch.set_num_threads(threads)
    if prepare:
        prepare()
    if point:
        die_at(point, store, number)
    sys.argv = command
    with log.open("w") as sys.stderr:
        main()


class FailingDisk:
    """A folder whose disk fails at the n-th time that something is written there, and after it."""

    def __init__(self) -> None:
        self.folder, self.point, self.passed, self.number = "", 0, 0, errno.ENOSPC
        sys.addaudithook(self._watch)

    @contextmanager
    def failing(self, folder: Path, point: int, number: int = errno.ENOSPC):
        """Fail within a block; ``passed`` counts how often something was written."""
        self.folder, self.point, self.passed, self.number = str(folder), point, 0, number
        try:
            yield self
        finally:
            self.folder = ""

    def _watch(self, event, arguments) -> None:
        if not self.folder or event not in {"open", "os.mkdir"}:
            return
        if isinstance(arguments[0], int):
            return
        if not os.path.abspath(os.fsdecode(arguments[0])).startswith(self.folder):  # noqa: PTH100
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        self.passed += 1
        if self.passed >= self.point:
            raise OSError(self.number, os.strerror(self.number), str(arguments[0]))


def start_worker(scheduler: str, point: int = 0, blocked: str = "", versions=()):
    """Start a dask worker that dies at its n-th denoiser call, or never if the point is 0.

    It may lack a module, or have other versions of libraries than are installed.
    """
    given = (scheduler, point, blocked, dict(versions))
    process = FORKS.Process(target=_serve, args=given, daemon=True)
    process.start()
    return process


def _serve(scheduler: str, point: int, blocked: str, versions: dict[str, str]) -> None:
    die_at(point)
    if blocked:
        sys.modules[blocked] = None  # as if it were not installed
    real = libraries.version
    libraries.version = lambda name: versions.get(name) or real(name)

    async def serve() -> None:
        # Two threads, which share one pipeline.
        async with Worker(scheduler, nthreads=2) as worker:
            await worker.finished()

    asyncio.run(serve())
