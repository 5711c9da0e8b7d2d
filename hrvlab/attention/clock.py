"""How many denoiser calls and steps a generation makes, as the run shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.attention.running import Running


class Clock:
    """Counts the calls of one generation, and knows how many it will make.

    A pipeline's own call knows the number. A loop of one's own states none; there it follows from
    the scheduler, as long as the loop calls the scheduler's timesteps.

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
        self._expected: list[float] = []
        self._timesteps: Tensor | Sequence[float] = ()
        self._read: list[float] = []
        self.scheduler_timesteps: list[float] = []
        self.calls: int | None = None
        self.steps: int | None = None

    def moment(self, run: Running | None) -> float | None:
        """Return the scheduler's timestep of the step that runs now, if the run shows it.

        An accelerator is waited for once a generation, at its first step.
        """
        if run is None or run.step is None:
            return None
        if self._timesteps is not run.timesteps:
            self._timesteps = run.timesteps
            self._read = [float(one) for one in torch.as_tensor(run.timesteps).tolist()]
        return self._read[run.step]

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

    def begin_call(self, scheduler_timestep: float, run: Running | None) -> int:
        """Return the number of the call that begins.

        Parameters
        ----------
        scheduler_timestep : float
        run : Running or None
            The pipeline's own call; None: a loop of one's own.

        Raises
        ------
        ParameterError
            If it belongs to a second generation.
        """
        self.check_call(scheduler_timestep)
        made = self.scheduler_timesteps
        if not made:
            self._set_length(scheduler_timestep, run)
            return 0
        if self._expected and self._expected[len(made)] != scheduler_timestep:
            # The scheduler is not the loop's, or was set for another run.
            self.calls = self.steps = None
            self._expected = []
        return len(made)

    def _set_length(self, scheduler_timestep: float, run: Running | None) -> None:
        """Set the numbers of calls and steps, at the first call."""
        scheduler = self._pipe.scheduler
        if run is not None:
            self.calls = run.calls
        else:
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
