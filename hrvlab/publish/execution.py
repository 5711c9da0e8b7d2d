"""Execution of a notebook's cells by papermill, and what went wrong in one line."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import papermill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.engines import Engine, papermill_engines

from hrvlab.errors import HrvlabError
from hrvlab.publish.kernels import kernel_environment, kernel_manager

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from papermill.engines import NotebookExecutionManager

    from hrvlab.publish.kernels import OwnKernelManager

ENGINE = "hrvlab"
START_TIMEOUT = 300
# Figures stay data until a page renders them; progress bars do not belong on a page.
KERNEL_ENVIRONMENT = {"PLOTLY_RENDERER": "plotly_mimetype", "TQDM_DISABLE": "1"}
LONGEST_REASON = 600
# What went wrong is raised; jupyter_client and nbclient would print it too, with a traceback.
QUIET = logging.getLogger("hrvlab.publish.kernels")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class RunError(HrvlabError):
    """A chapter whose execution failed.

    Parameters
    ----------
    reason : str
    notebook : NotebookNode, optional
        With the outputs up to there.
    """

    def __init__(self, reason: str, notebook: NotebookNode | None = None) -> None:
        super().__init__(reason)
        self.notebook = notebook


class OwnKernelEngine(Engine):
    """Papermill's way to execute a notebook in a kernel of the command's own Python."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        folder: Path,
        start_timeout: int,
        **_: Any,
    ) -> None:
        """Execute every cell, and let papermill note when it starts and ends."""
        _execute(nb_man, folder, start_timeout)


def execute_cells(
    notebook: NotebookNode, folder: Path, start_timeout: int = START_TIMEOUT
) -> NotebookNode:
    """Execute the cells of a notebook in a kernel of their own.

    Parameters
    ----------
    notebook : NotebookNode
    folder : Path
        The working directory of the kernel.
    start_timeout : int
        Seconds that the kernel may take to start.

    Returns
    -------
    NotebookNode
        With the outputs.

    Raises
    ------
    RunError
        If the kernel does not start or dies, or a cell fails or ends the execution.
    """
    papermill_engines.register(ENGINE, OwnKernelEngine)
    return papermill.execute_notebook(
        notebook,
        None,
        engine_name=ENGINE,
        kernel_name="python3",
        progress_bar=False,
        start_timeout=start_timeout,
        folder=folder,
    )


def _execute(nb_man: NotebookExecutionManager, folder: Path, start_timeout: int) -> None:
    """Execute the cells of a notebook that papermill manages."""
    notebook = nb_man.nb
    manager = kernel_manager()(log=QUIET)
    client = NotebookClient(
        notebook,
        km=manager,
        log=QUIET,
        timeout=None,
        startup_timeout=start_timeout,
        # On a busy machine outputs may come late; none of them must be missing.
        iopub_timeout=start_timeout,
        raise_on_iopub_timeout=True,
    )
    # Start-up scripts of the user's own IPython must not decide a result.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as settings:
        environment = kernel_environment({**KERNEL_ENVIRONMENT, "IPYTHONDIR": settings})
        try:
            client.start_new_kernel(env=environment, cwd=str(folder))
            kernel = client.start_new_kernel_client()
            about = client.wait_for_reply(kernel.kernel_info()) or {}
            notebook.metadata["language_info"] = about["content"]["language_info"]
        except Exception as error:  # of the platform, of ZeroMQ or of jupyter_client
            raise RunError(_not_started(error, manager, start_timeout), notebook) from error
        with client.setup_kernel(cleanup_kc=True):
            for number, cell in enumerate(notebook.cells):
                nb_man.cell_start(cell, number)
                try:
                    client.execute_cell(cell, number)
                except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                    nb_man.cell_exception(cell, number)
                    raise RunError(_failed(error, cell, manager), notebook) from error
                nb_man.cell_complete(cell, number)


def one_line(text: str) -> str:
    """Return a text as one line of limited length.

    Parameters
    ----------
    text : str
    """
    return shorten(text, LONGEST_REASON, placeholder=" …")


def _not_started(error: Exception, manager: OwnKernelManager, start_timeout: int) -> str:
    """Say why a kernel did not start."""
    if "didn't respond" in str(error):
        return (
            f"its kernel did not start within {start_timeout} seconds; where libraries load "
            "slowly, give it more time with --start-timeout SECONDS"
        )
    code = manager.exit_code
    ended = "" if code is None else f" (exit code {code})"
    return f"its kernel did not start: {one_line(str(error) or type(error).__name__)}{ended}"


def _failed(error: Exception, cell: NotebookNode, manager: OwnKernelManager) -> str:
    """Say in which cell an execution ended, and why."""
    line = shorten(cell["source"].strip().partition("\n")[0], 120, placeholder=" …")
    where = f"code cell {cell.get('execution_count') or '?'} ({line})"
    if isinstance(error, CellExecutionError):
        if error.ename == "SystemExit":
            return (
                f"{where} left it by sys.exit({error.evalue}), so it is not finished; end a "
                "chapter with its last cell"
            )
        return f"{where}: {error.ename}: {one_line(error.evalue)}"
    if isinstance(error, CellTimeoutError):
        return f"{where}: the outputs of the cell did not arrive; run the same command again"
    code = manager.exit_code
    if code is not None and code >= 0:
        return f"{where}: its kernel was ended with exit code {code}, by exit() or a library"
    killed = "" if code is None else f" by signal {-code}"
    return f"{where}: its kernel was killed{killed}, perhaps because memory ran out"
