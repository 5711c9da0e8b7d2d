"""How a command ends: its exit code, and one line that says what failed and what would help."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import typer

from hrvlab.cli.options import say_error
from hrvlab.errors import HrvlabError

DONE, FAILED, WRONG_USAGE, UNFORESEEN, STOPPED = 0, 1, 2, 70, 128
SECONDS_TO_END = 1  # a terminal and a wrapper may both pass on the same Ctrl-C

# What goes on after a command was stopped; by default everything that was finished is kept.
GO_ON = "finished work is kept, and the same command goes on from there"
IMAGES = "finished images are kept, and the same command goes on from there"
AFTER = {
    "generate": IMAGES,
    "edit": IMAGES,
    "capture": "nothing was written; the same command begins anew",
    "check-results": "nothing was written; the same command begins anew",
    "run": "the page is as it was; units in the store are kept, and the same command goes on",
    "book": "pages that were finished are kept, and the same command goes on",
}
# Libraries whose errors are not about hrvlab, and what they were doing.
PARTS = {
    "distributed": "the cluster failed",
    "dask": "the cluster failed",
    "jupyter_client": "the chapter's kernel failed",
    "nbclient": "the chapter failed",
    "papermill": "the chapter failed",
    "nbformat": "a notebook cannot be read",
    "jupyter_book": "rendering the book failed",
    "sphinx": "rendering the book failed",
    "zarr": "a store cannot be read or written",
    "safetensors": "weights cannot be read or written",
}


@dataclass
class Ending:
    """What a command is, as far as it matters when it ends.

    Parameters
    ----------
    command : str
        Its name.
    debug : bool
        Show tracebacks.
    """

    command: str = ""
    debug: bool = False


def end(run: Callable[[Ending], object]) -> int:
    """Run a command line, and print one line if it fails or is stopped.

    Parameters
    ----------
    run : callable (Ending) -> object
        Returns an exit code, or None.

    Returns
    -------
    int
        The exit code: 0, done; 1, refused or failed; 2, a wrong command line; 70, a failure that
        was not foreseen; 130 and 143, stopped by Ctrl-C and by SIGTERM.
    """
    ending, failure = Ending(), None
    code: object = None
    with _Signals() as signals:
        try:
            code = run(ending)
        except BaseException as error:
            failure = error
        signals.running = False
        if signals.first:
            code, message = STOPPED + signals.first, _after(ending.command, signals.first)
        elif failure is None:
            return code if isinstance(code, int) else DONE
        elif isinstance(failure, SystemExit):
            return failure.code if isinstance(failure.code, int) else FAILED
        else:
            code, message = explain(failure)
            message = message and f"error: {message}"
        if ending.debug and failure is not None:
            traceback.print_exception(failure)
        if message:
            say_error(message)
        return code


def _after(command: str, number: int) -> str:
    how = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return f"stopped by {how}: {AFTER.get(command, GO_ON)}"


def explain(error: BaseException) -> tuple[int, str]:
    """Explain an error in one line.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    code : int
        The exit code.
    message : str
        What was wrong, and what would help.
    """
    text = " ".join(str(error).split())
    kind = type(error).__name__
    package = type(error).__module__.partition(".")[0]
    more = "run `hrvlab --debug` with the same command to see more"
    if isinstance(error, HrvlabError):
        return FAILED, text
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return STOPPED + signal.SIGINT, "stopped"
    if hasattr(error, "format_message"):  # of click, which typer carries within itself
        context = getattr(error, "ctx", None)
        usage = f"{context.command_path} --help" if context else "hrvlab --help"
        message = " ".join(error.format_message().split()).rstrip(".")
        return WRONG_USAGE, message and f"{message}; see {usage}"  # empty after a help text
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        return FAILED, f"out of memory ({text}): give a smaller --batch-size or fewer prompts"
    if isinstance(error, UnicodeError):
        return FAILED, f"a file is not UTF-8 text ({text}); save it as UTF-8, or {more}"
    if isinstance(error, json.JSONDecodeError):
        return FAILED, f"a file is not valid JSON ({text}); write it again, or {more}"
    if package in PARTS:
        return FAILED, f"{PARTS[package]}: {text or kind}; {more}"
    if isinstance(error, OSError):
        reason = error.strerror or text or kind
        where = f"{error.filename}: " if error.filename else ""
        return FAILED, f"{where}{reason}; check the path, its rights and the disk, or {more}"
    return UNFORESEEN, f"hrvlab did not foresee this {kind}: {text}; {more}, and report it"


class _Signals:
    """Stops what runs at SIGINT and SIGTERM, both as at Ctrl-C, within a block.

    Attributes
    ----------
    running : bool
        Whether there is something to stop.
    first : int
        Number of the first signal; 0 if there was none.
    """

    def __init__(self) -> None:
        self.running, self.first, self._time = True, 0, 0.0

    def __enter__(self) -> _Signals:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        if not self.first:
            self.first, self._time = number, time.monotonic()
            if self.running:
                raise KeyboardInterrupt
        elif time.monotonic() - self._time > SECONDS_TO_END:
            os._exit(STOPPED + number)  # whoever asks twice does not want to wait
