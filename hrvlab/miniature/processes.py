"""Training in two single-threaded processes, the fastest way to use two cores."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    spawn,
)

from hrvlab.errors import StoreError
from hrvlab.miniature.checkpoints import KEPT
from hrvlab.miniature.training import train

if TYPE_CHECKING:
    from hrvlab.miniature.training import Stage

PROCESSES = 2
AUTOGROUP = Path("/proc/self/autogroup")


def train_in_processes(build: Callable[[int], Stage], folder: Path) -> None:
    """Train a stage in two processes, which share the steps' images.

    Parameters
    ----------
    build : callable (processes) -> Stage
        Builds the stage of one of so many processes; can be pickled.
    folder : Path
        Working folder.

    Raises
    ------
    StoreError
        If a process dies or fails.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Spawned processes inherit the environment, but not the logging set up by the command line.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        spawn(_process, (port, build, folder), PROCESSES)
    except ProcessRaisedException as error:
        raise StoreError(_last_line(error)) from error
    except ProcessExitedException as error:
        raise StoreError(
            f"a training process died ({error}); train again to resume from the last checkpoint"
        ) from error


def _last_line(error: ProcessRaisedException) -> str:
    """Return what a process that failed said last; before that stands its traceback."""
    kind, _, reason = str(error).strip().splitlines()[-1].partition(": ")
    if kind.startswith("hrvlab."):
        return reason
    return f"a training process failed ({kind}: {reason}); {KEPT}: train again to resume from it"


def _process(rank: int, port: int, build: Callable[[int], Stage], folder: Path) -> None:
    """Train as one of several processes."""
    _own_session()
    # The parent sends this signal when it dies; background jobs of a shell ignore it by default.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, rank=rank, world_size=PROCESSES)
    train(build(PROCESSES), folder)
    dist.destroy_process_group()


def _own_session() -> None:
    """Begin a session of this process's own, as nice as the process is.

    Linux shares a busy machine out by sessions: two processes of one would get one share, and
    their niceness would count within it only.
    """
    os.setsid()
    if AUTOGROUP.exists():
        AUTOGROUP.write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))
