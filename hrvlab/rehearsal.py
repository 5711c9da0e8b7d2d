"""Clock and memory of a rehearsal: a run's first batch, in as few steps as possible."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import psutil
import torch

from hrvlab.forecast import forecast_calls
from hrvlab.models.families import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

CALLS = 3  # of a rehearsal: between the starts of the last two, nothing happens for the first time
LOOKS = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True)
class DryRun:
    """What a run is forecast to take.

    Parameters
    ----------
    seconds : float
        From the loaded model to the written result.
    memory : int
        Bytes of the process at most, the model included.
    device_memory : int
        Bytes of a CUDA device at most; 0 without one.
    written : int
        Bytes on disk, compressed as they are.
    calls : int
        Denoiser calls.
    seconds_per_call : float
        As measured, of one batch.
    """

    seconds: float
    memory: int
    device_memory: int
    written: int
    calls: int
    seconds_per_call: float

    def __str__(self) -> str:
        """Return the forecast as one line."""
        device = f", {bytes_text(self.device_memory)} on the device" if self.device_memory else ""
        return (
            f"{duration_text(self.seconds)} ({self.calls} denoiser calls of "
            f"{self.seconds_per_call:.2g} s), {bytes_text(self.memory)} of memory{device}, "
            f"{bytes_text(self.written)} on disk"
        )


class MemoryWatch:
    """The memory of this process and of those that it started, within a block.

    Attributes
    ----------
    memory : int
        Bytes at most.
    """

    def __init__(self) -> None:
        self._process, self._over = psutil.Process(), threading.Event()
        self.memory = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.memory = max(self.memory, self._resident())
            if self._over.wait(LOOKS):
                return

    def _resident(self) -> int:
        total: int = self._process.memory_info().rss
        for started in self._process.children(recursive=True):
            with suppress(psutil.Error):  # it has ended
                total += started.memory_info().rss
        return total


class Rehearsal:
    """A clock of denoiser calls, and of the memory, within a block.

    Attributes
    ----------
    seconds : float
        Of the block.
    device_memory : int
        Bytes of a CUDA device at most.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        self._pipe, self._starts = pipe, list[float]()
        self._watch = MemoryWatch()
        self.seconds, self.device_memory = 0.0, 0

    def __enter__(self) -> Self:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._hook = denoiser_of(self._pipe).register_forward_pre_hook(self._start)
        self._watch.__enter__()
        self._begun = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._begun
        self._hook.remove()
        self._watch.__exit__()
        if torch.cuda.is_available():
            self.device_memory = torch.cuda.max_memory_allocated()

    def _start(self, *_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._starts.append(perf_counter())

    @property
    def memory(self) -> int:
        """Bytes at most."""
        return self._watch.memory

    @property
    def calls(self) -> int:
        """Number of denoiser calls."""
        return len(self._starts)

    @property
    def seconds_per_call(self) -> float:
        """Time between the starts of the last two calls; of a single call, all that there is."""
        return self.seconds if self.calls < 2 else self._starts[-1] - self._starts[-2]

    @property
    def seconds_before(self) -> float:
        """Time before the first call."""
        return self._starts[0] - self._begun if self._starts else self.seconds

    @property
    def seconds_once(self) -> float:
        """Time before the first call, and by which that one is slower than the last."""
        slower = 0.0
        if self.calls >= CALLS:
            slower = self._starts[1] - self._starts[0] - self.seconds_per_call
        return self.seconds_before + max(0.0, slower)


def few_steps(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, int]:
    """Return the keyword of as few steps as make enough calls to measure one.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
        Keywords of the run.

    Returns
    -------
    dict of str to int
        Empty if the run itself has no more calls.
    """
    wanted = forecast_calls(pipe, call)
    for steps in range(1, CALLS + 1):
        few = {"num_inference_steps": steps}
        if CALLS <= forecast_calls(pipe, {**call, **few}) < wanted:
            return few
    return {}


def extrapolate(
    rehearsal: Rehearsal, calls: int, batches: float, written: int, grown: int
) -> DryRun:
    """Forecast a run from a rehearsal of its first batch.

    Parameters
    ----------
    rehearsal : Rehearsal
    calls : int
        Denoiser calls of a batch.
    batches : float
        A last one that is not full counts as its share.
    written : int
        Bytes on disk.
    grown : int
        Bytes of memory that the run takes besides, for what it keeps of all batches.

    Returns
    -------
    DryRun
    """
    per_call, once = rehearsal.seconds_per_call, rehearsal.seconds_once
    beside = max(0.0, rehearsal.seconds - once - rehearsal.calls * per_call)
    return DryRun(
        seconds=once + batches * (calls * per_call + beside),
        memory=rehearsal.memory + grown,
        device_memory=rehearsal.device_memory,
        written=written,
        calls=math.ceil(batches * calls),
        seconds_per_call=per_call,
    )


def together(runs: Sequence[DryRun]) -> DryRun:
    """Forecast several runs, one after the other in one process.

    Parameters
    ----------
    runs : sequence of DryRun
        At least one.

    Returns
    -------
    DryRun
        Its ``seconds_per_call`` is the mean over all calls.
    """
    calls = sum(one.calls for one in runs)
    return DryRun(
        seconds=sum(one.seconds for one in runs),
        memory=max(one.memory for one in runs),
        device_memory=max(one.device_memory for one in runs),
        written=sum(one.written for one in runs),
        calls=calls,
        seconds_per_call=sum(one.calls * one.seconds_per_call for one in runs) / calls,
    )


def duration_text(seconds: float) -> str:
    """Return a time as a text, in a unit that suits it."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def bytes_text(count: int) -> str:
    """Return a number of bytes as a text, in a unit that suits it."""
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
