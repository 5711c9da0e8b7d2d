"""Kernels on the interpreter that runs the command, whatever kernels the machine has installed.

Where processes can fork, a server process imports PyTorch, diffusers and hrvlab once, and each
kernel is a fork of it. The server computes nothing, so no thread of PyTorch is lost in a fork.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from hrvlab.paths import own_path

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from jupyter_client.connect import KernelConnectionInfo

PRELOADED = [
    "ipykernel.kernelapp",
    "hrvlab.models.load",
    "hrvlab.generation",
    "hrvlab.results",
    "hrvlab.scorers.clip",
    "hrvlab.figures",
    "plotly.graph_objects",
]
# What fails in a cell is told by its reply; a kernel that is ended would print tracebacks.
QUIETLY = "--log-level=CRITICAL"
_environ = Lock()


class ForkedProcess:
    """A forked process with the interface of `subprocess.Popen` that provisioners use.

    Parameters
    ----------
    process : multiprocessing.context.ForkServerProcess
        Already started.
    """

    stdin = stdout = stderr = None

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Wait for the end of the process and return its exit code."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        self._process.kill()


class ForkProvisioner(LocalProvisioner):
    """Starts a kernel as a fork of a server that has imported the libraries."""

    exit_code: int | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel that takes the arguments of a command."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        # Some versions of Python start the server without the path of this process.
        with _environ, _environment(own_path()):
            forkserver.ensure_running()
        arguments = cmd[cmd.index("-f") :]
        folder = str(kwargs.get("cwd") or Path.cwd())
        # As a daemon it is ended with this process, whatever happens in between.
        process = context.Process(
            target=_serve, args=(arguments, kwargs["env"], folder), daemon=True
        )
        await asyncio.get_running_loop().run_in_executor(None, process.start)
        self.process = ForkedProcess(process)  # type: ignore[assignment]
        self.pid, self.cwd = process.pid, folder
        return self.connection_info

    async def poll(self) -> int | None:
        """Return the exit code, which is kept; None while the process runs."""
        code = await super().poll()
        if self.has_process and code is not None:
            self.exit_code = code
        return code


class OwnKernelManager(AsyncKernelManager):
    """A kernel manager whose kernels run on the interpreter of this process."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """What starts a kernel; files of kernel specs are not looked at."""
        return KernelSpec(**get_kernel_dict([QUIETLY]), env=own_path())

    @property
    def exit_code(self) -> int | None:
        """Exit code of a kernel that has ended by itself, where it is known."""
        return getattr(self.provisioner, "exit_code", None)


class PreloadedKernelManager(OwnKernelManager):
    """A kernel manager whose kernels have the libraries imported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kernel_id = str(uuid4())
        self.provisioner = ForkProvisioner(
            kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
        )


def kernel_manager() -> type[OwnKernelManager]:
    """Return the class that starts kernels: preloaded ones, where the platform can fork."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        return PreloadedKernelManager
    return OwnKernelManager


def kernel_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with some variables set, for a kernel.

    Parameters
    ----------
    variables : mapping of str to str
    """
    with _environ:
        return {**os.environ, **variables}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which processes started inside inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Serve as a kernel, in the forked process."""
    from ipykernel.kernelapp import launch_new_instance

    # A chapter may start processes of its own, which multiprocessing forbids daemons.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # With a parent, the kernel says nothing on the terminal, and ends when the server is gone.
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    launch_new_instance(argv=[*arguments, parent])
