"""Studies: experiments at full scale, whose results ship and can be made and checked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.options import GenerationOptions
from hrvlab.paths import MINIATURE
from hrvlab.scorers.clip import clip_score
from hrvlab.scorers.judge import judge_score

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run

SEEDS_SHOWN = 4  # images of each chosen prompt that ship


def no_images(data: xr.Dataset) -> NDArray[np.str_]:
    """Return no file names: no images ship with the result."""
    return np.array([], str)


@dataclass(frozen=True)
class Study:
    """An experiment at full scale.

    Parameters
    ----------
    name : str
        Of its folder in ``data/results``.
    run : callable (pipe, store) -> mapping of str to Run
        Runs its parts, by label, each under a plan of its own in the store.
    dim : str
        Dim of the parts in the result; a study with a single part has no such dim.
    shown : callable (xarray.Dataset) -> ndarray of str
        Selects the images of a part that chapters show, by their file names; they ship with the
        result.
    needs : tuple of str
        Studies whose results it reads from the same store.
    """

    name: str
    run: Callable[[DiffusionPipeline, Path], Mapping[str, Run]]
    dim: str = "part"
    shown: Callable[[xr.Dataset], NDArray[np.str_]] = no_images
    needs: tuple[str, ...] = ()


def judge_and_clip() -> Mapping[str, Score]:
    """Load the miniature's two evaluators, by name."""
    return {"judge": judge_score(), "CLIP": clip_score()}


@dataclass(frozen=True)
class CommonSetting(GenerationOptions):
    """Parameters that all studies have in common; most studies add their own.

    Parameters
    ----------
    steps, guidance_scale, height, width, batch_size
        See `GenerationOptions`.
    concepts, prompts : str or Path
        From which the vectors are built.
    evaluators : callable () -> mapping of str to Score
        Loads the scores, by the names of their evaluators.
    progress : bool
    """

    steps: int = 20
    batch_size: int = 16
    concepts: str | Path = MINIATURE
    prompts: str | Path = MINIATURE
    evaluators: Callable[[], Mapping[str, Score]] = judge_and_clip
    progress: bool = True

    @property
    def call(self) -> dict[str, Any]:
        """Keywords of every function that generates images."""
        return {**super().call, "progress": self.progress}
