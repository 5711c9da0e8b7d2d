"""Background work on the newest request only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, main_thread
from typing import Any


class Stale(Exception):
    """The request being worked on has been superseded by a newer one, or Python ends."""


class Latest:
    """A background worker that handles one request at a time; a newer one cancels older ones.

    Parameters
    ----------
    work : callable (request, check) -> None
        Handles a request. It should call ``check()`` now and then, which raises `Stale` once there
        is a newer request, or Python ends.
    """

    def __init__(self, work: Callable[[Any, Callable[[], None]], None]) -> None:
        self._work = work
        self._turn = Lock()
        self._newest: object = None

    def submit(self, request: object) -> None:
        """Start work on a request in the background, and cancel all earlier requests."""
        self._newest = request
        # Python waits for the thread at its end: PyTorch aborts if it is cut off in a computation.
        Thread(target=self._run, args=(request,)).start()

    def cancel(self) -> None:
        """Cancel all requests."""
        self._newest = None

    def _run(self, request: object) -> None:
        def check() -> None:
            if self._newest is not request or not main_thread().is_alive():
                raise Stale

        with self._turn, suppress(Stale):
            check()
            self._work(request, check)
