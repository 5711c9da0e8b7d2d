"""Workers of a cluster that hang: they give signs of life, and those that do not are named."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from distributed import as_completed, get_worker

from hrvlab.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

# A worker that has units gives signs of life: that it has loaded the pipeline, and denoiser calls.
# None of these takes as long, on whatever disk or processor.
SECONDS_OF_SILENCE = 1800
SECONDS_BETWEEN_SIGNS = 10
TOPIC = "hrvlab-signs"


class Sign:
    """A sign of life of this worker, sent by a forward hook that changes nothing."""

    def __init__(self) -> None:
        self._last = -math.inf

    def __call__(self, *_: object) -> None:
        """Send it, unless one was sent some seconds ago."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_SIGNS:
            self._last = now
            worker = get_worker()
            worker.log_event(TOPIC, worker.address)


def watched(client: Client, numbers: Mapping[Future[Any], int]) -> Iterator[Future[Any]]:
    """Yield units as they are finished, as long as no worker hangs.

    Parameters
    ----------
    client : distributed.Client
    numbers : mapping of Future to int
        The units that are not finished, with their numbers; the caller removes those that are.

    Yields
    ------
    Future

    Raises
    ------
    ClusterError
        If a worker that has units has given no sign of life, and finished none, for half an hour;
        its message names the worker.
    """
    watch = _Watch(client)
    while numbers:
        look_at = time.monotonic() + SECONDS_BETWEEN_SIGNS
        finished = as_completed(list(numbers), loop=client.loop, timeout=SECONDS_BETWEEN_SIGNS)
        while numbers and time.monotonic() < look_at:
            try:
                future = next(finished)
            except TimeoutError:
                break
            yield future
        if numbers:
            watch.look(numbers)


class _Watch:
    """The last sign of life of every worker."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._signs: dict[str, tuple[object, float]] = {}

    def look(self, numbers: Mapping[Future[Any], int]) -> None:
        """Refuse to wait for a worker that hangs."""
        try:
            stamps = {worker: stamp for stamp, worker in self._client.get_events(TOPIC)}
            given = self._client.processing()
        except OSError:
            return  # the scheduler is lost, which the units will tell
        now = time.monotonic()
        known = {future.key: number for future, number in numbers.items()}
        for worker, keys in given.items():
            # A sign, or other units than before.
            units = sorted(known[key] for key in keys if key in known)
            sign = (stamps.get(worker), units)
            before, since = self._signs.get(worker, (None, now))
            since = since if units and sign == before else now
            self._signs[worker] = sign, since
            if now - since > SECONDS_OF_SILENCE:
                raise ClusterError(
                    f"the worker at {worker} has given no sign of life for {now - since:.0f} "
                    f"seconds, while it has unit {units[0]} to compute; end it, see its log, and "
                    "run the same command again: finished units are kept"
                )
