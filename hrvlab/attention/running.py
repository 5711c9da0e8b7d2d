"""The call of diffusers' own that runs a pipeline now, as the stack shows it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from diffusers import DiffusionPipeline
    from torch import Tensor

# Modules whose functions stand between a pipeline and the hooks of its denoiser.
BETWEEN = ("hrvlab.attention.", "torch.", "accelerate.")


@dataclass(frozen=True)
class Running:
    """What a pipeline's own call knows, which not every class states as an attribute.

    Parameters
    ----------
    calls : int
        The denoiser calls that it makes.
    guided : bool
        Whether it guides by a negative prompt.
    timesteps : Tensor or sequence of number
        The scheduler's timestep of every step.
    step : int or None
        The number of the step that runs now; None: the denoiser is called by other code, as a
        callback of the pipeline, or the pipeline does not state it.
    """

    calls: int
    guided: bool
    timesteps: Tensor | Sequence[float] = ()
    step: int | None = None


def running(pipe: DiffusionPipeline) -> Running | None:
    """Find the call of diffusers' own that runs a pipeline now.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported class, all of which name these variables alike.

    Returns
    -------
    Running or None
        None: the denoiser is called by a loop of one's own.
    """
    codes = {
        inspect.unwrap(vars(cls)["__call__"]).__code__
        for cls in type(pipe).__mro__
        if "__call__" in vars(cls) and cls.__module__.startswith("diffusers.")
    }
    frame: FrameType | None = sys._getframe(1)
    direct = True
    while frame is not None:
        if frame.f_code in codes and frame.f_locals["self"] is pipe:
            own = frame.f_locals
            # A class that guides some of the steps alone says so of each.
            guided = own.get("apply_cfg", own.get("do_classifier_free_guidance"))
            if guided is None:  # some have no guidance
                guided = getattr(pipe, "do_classifier_free_guidance", False)
            timesteps = own["timesteps"]
            step = own.get("i") if direct else None
            return Running(len(timesteps), bool(guided), timesteps, step)
        direct = direct and str(frame.f_globals.get("__name__")).startswith(BETWEEN)
        frame = frame.f_back
    return None
