"""Kernels that start with PyTorch and diffusers already imported, where processes can fork.

A server process imports them once; each kernel is a fork of it, on the interpreter that runs the
command. The server computes nothing, so no thread of PyTorch is lost in a fork.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from jupyter_client.connect import KernelConnectionInfo

PRELOADED = [
    "ipykernel.kernelapp",
    "hrvlab.models.load",
    "hrvlab.generation",
    "plotly.graph_objects",
]


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

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel that uses the connection file of a command."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        connection = cmd[cmd.index("-f") :][:2]
        folder = str(kwargs.get("cwd") or Path.cwd())
        process = context.Process(
            target=_serve, args=(connection, kwargs["env"], folder), daemon=True
        )
        await asyncio.get_running_loop().run_in_executor(None, process.start)
        self.process = ForkedProcess(process)  # type: ignore[assignment]
        self.pid, self.cwd = process.pid, folder
        return self.connection_info


class PreloadedKernelManager(AsyncKernelManager):
    """A kernel manager whose kernels have the libraries imported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kernel_id = str(uuid4())
        self.provisioner = ForkProvisioner(
            kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
        )


def kernel_manager() -> type[AsyncKernelManager]:
    """Return the class that starts kernels: preloaded ones, where the platform can fork."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        return PreloadedKernelManager
    return AsyncKernelManager


def _serve(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Serve as a kernel, in the forked process."""
    from ipykernel.kernelapp import launch_new_instance

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # With a parent, the kernel says nothing on the terminal, and ends when the server is gone.
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    launch_new_instance(argv=[*arguments, parent, "--log-level=ERROR"])
