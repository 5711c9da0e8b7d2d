"""Time of hooks within their calls, alternatives timed in turn, peak memory, the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

LIBRARIES = ("hrvlab", "torch", "diffusers", "numpy")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class HookClock:
    """Seconds that each of a model's calls took, and that hooks took of them."""

    calls: list[float] = field(default_factory=list)
    hooks: list[float] = field(default_factory=list)

    def overhead(self, first: int = 0) -> float:
        """Divide the time in hooks by the rest of the same calls, from a call on."""
        hooks = sum(self.hooks[first:])
        return hooks / (sum(self.calls[first:]) - hooks)

    def count(self, run: Callable[[], object]) -> None:
        """Count what hooks left to be computed afterwards as if the last call's had done it."""
        spent = seconds(run)
        self.calls[-1] += spent
        self.hooks[-1] += spent


@contextmanager
def in_situ(model: nn.Module) -> Iterator[HookClock]:
    """Time the calls of a model and all hooks that are registered now."""
    clock = HookClock()
    start = 0.0

    def timed(hook: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            result = hook(*args, **kwargs)
            clock.hooks[-1] += time.perf_counter() - begin
            return result

        return run

    def begin_call(*_: object) -> None:
        nonlocal start
        clock.hooks.append(0.0)
        start = time.perf_counter()

    def end_call(*_: object) -> None:
        clock.calls.append(time.perf_counter() - start)

    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key, hook in hooks.items():
                hooks[key] = timed(hook)
    outer = [
        model.register_forward_pre_hook(begin_call, prepend=True),
        model.register_forward_hook(end_call),
    ]
    try:
        yield clock
    finally:
        for handle in outer:
            handle.remove()


def seconds(run: Callable[[], object]) -> float:
    """Time one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turn(
    measurements: Mapping[str, Callable[[], float]], rounds: int, name: str
) -> dict[str, list[float]]:
    """Take every measurement once a round, in turn, so that a drifting machine favors none.

    Parameters
    ----------
    measurements : mapping of str to callable
        Each returns a number.
    rounds : int
        Besides a first one, which warms up and is discarded.
    name : str
        Of the progress bar.

    Returns
    -------
    dict of str to list of float
        The numbers of all rounds.
    """
    measured: dict[str, list[float]] = {each: [] for each in measurements}
    for number in tqdm(range(rounds + 1), name):
        for each, measure in measurements.items():
            value = measure()
            if number:
                measured[each].append(value)
    return measured


def peak_bytes(run: Callable[[], object]) -> int:
    """Measure the peak of resident memory during a run, above that before it (Linux only)."""
    CLEAR.write_text("5")
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def resident(field: str = "VmHWM") -> int:
    """Read this process's resident memory in bytes, at present (VmRSS) or its peak (VmHWM)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def machine() -> dict[str, Any]:
    """Describe the machine as far as it matters for timings."""
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "measured": datetime.now(UTC).date().isoformat(),
    }
