"""The call of diffusers' own that runs a pipeline now, as the stack shows it."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Running:
    """What a pipeline's own call knows, which not every class states as an attribute.

    Parameters
    ----------
    calls : int
        The denoiser calls that it makes.
    guided : bool
        Whether it guides by a negative prompt.
    """

    calls: int
    guided: bool


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
    while frame is not None:
        if frame.f_code in codes and frame.f_locals["self"] is pipe:
            own = frame.f_locals
            guided = own.get("do_classifier_free_guidance")
            if guided is None:  # some have no guidance
                guided = getattr(pipe, "do_classifier_free_guidance", False)
            return Running(len(own["timesteps"]), bool(guided))
        frame = frame.f_back
    return None
