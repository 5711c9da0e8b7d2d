"""Do only the newest of many requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Any


class Stale(Exception):
    """The request that is being worked on is no longer wanted."""


class Latest:
    """Work on requests in the background, one at a time; a newer one stops those before it.

    Parameters
    ----------
    work : callable (request, check) -> None
        Calls ``check()`` now and then, which raises `Stale` once there is a newer request.
    """

    def __init__(self, work: Callable[[Any, Callable[[], None]], None]) -> None:
        self._work = work
        self._turn = Lock()
        self._newest: object = None

    def ask(self, request: object) -> None:
        """Want this from now on, and nothing that was asked for before."""
        self._newest = request
        Thread(target=self._run, args=(request,), daemon=True).start()

    def _run(self, request: object) -> None:
        def check() -> None:
            if self._newest is not request:
                raise Stale

        with self._turn, suppress(Stale):
            check()
            self._work(request, check)
