"""How many denoiser calls and steps a generation makes, as the run shows it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# Where diffusers' pipelines keep the number of calls that they are about to make.
COUNT = "_num_timesteps"


class Clock:
    """Counts the calls of one generation, and knows how many it will make.

    A pipeline states the number anew whenever it is called, so that a number that is there at the
    first call was stated within the session. A loop of one's own states none; there it follows
    from the scheduler, as long as the loop calls the scheduler's timesteps.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline

    Attributes
    ----------
    scheduler_timesteps : list of float
        The scheduler's timestep of every finished denoiser call.
    calls, steps : int or None
        Of the whole generation, from its first call on; None: the run does not show it.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        self._pipe = pipe
        self._stated_before = pipe.__dict__.get(COUNT)
        self._expected: list[float] = []
        self.scheduler_timesteps: list[float] = []
        self.calls: int | None = None
        self.steps: int | None = None

    def start(self) -> None:
        """Take away the number that an earlier call of the pipeline left."""
        self._pipe.__dict__.pop(COUNT, None)

    def stop(self) -> None:
        """Restore the earlier number, unless the pipeline has stated another."""
        if self._stated_before is not None:
            self._pipe.__dict__.setdefault(COUNT, self._stated_before)

    @property
    def by_pipeline(self) -> bool:
        """Whether diffusers' own call of the pipeline runs, not a loop of one's own."""
        call = type(self._pipe).__call__
        return COUNT in self._pipe.__dict__ and call.__module__.startswith("diffusers.")

    def check_call(self, scheduler_timestep: float) -> None:
        """Check that a call belongs to the same generation as the ones before.

        Raises
        ------
        ParameterError
        """
        made = self.scheduler_timesteps
        if made and (scheduler_timestep == made[0] != made[-1] or len(made) == self.calls):
            raise ParameterError(
                "a second generation began within one attach; attach anew for every pipeline call"
            )

    def begin_call(self, scheduler_timestep: float) -> int:
        """Return the number of the call that begins.

        Raises
        ------
        ParameterError
            If it belongs to a second generation.
        """
        self.check_call(scheduler_timestep)
        made = self.scheduler_timesteps
        if not made:
            self._set_length(scheduler_timestep)
            return 0
        if self._expected and self._expected[len(made)] != scheduler_timestep:
            # The scheduler is not the loop's, or was set for another run.
            self.calls = self.steps = None
            self._expected = []
        return len(made)

    def _set_length(self, scheduler_timestep: float) -> None:
        """Set the numbers of calls and steps, at the first call."""
        scheduler = self._pipe.scheduler
        self.calls = self._pipe.__dict__.get(COUNT)
        if self.calls is None:
            self._expected = self._remaining(scheduler_timestep)
            self.calls = len(self._expected) or None
        if self.calls is not None:
            steps = math.ceil(self.calls / scheduler.order)
            # Some schedulers make one call more than steps.
            own = getattr(scheduler, "num_inference_steps", None)  # some have none until it is set
            self.steps = min(steps, own or steps)

    def _remaining(self, scheduler_timestep: float) -> list[float]:
        """Return the scheduler's timesteps from the first one that is called, if it has that."""
        there = getattr(self._pipe.scheduler, "timesteps", None)  # some are None until they are set
        timesteps = [] if there is None else [float(one) for one in there]
        if scheduler_timestep not in timesteps:
            return []
        return timesteps[timesteps.index(scheduler_timestep) :]
