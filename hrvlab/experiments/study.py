"""Studies: experiments at full scale, whose results ship and can be made and checked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.options import GenerationOptions
from hrvlab.paths import MINIATURE
from hrvlab.scorers.clip import clip_score
from hrvlab.scorers.judge import judge_score

if TYPE_CHECKING:
    from distributed import Client

    from hrvlab.experiments.runner import Trial
    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run

SEEDS_SHOWN = 4  # images of each chosen prompt that ship

Case = TypeVar("Case")


def no_images(data: xr.Dataset) -> NDArray[np.str_]:
    """Return no file names: no images ship with the result."""
    return np.array([], str)


def nothing_lacks(setting: CommonSetting) -> list[str]:
    """Return no concepts: the study has no cases that need vectors."""
    return []


@dataclass(frozen=True)
class Study:
    """An experiment at full scale.

    Parameters
    ----------
    name : str
        Of its folder in ``data/results``.
    run : callable (pipe, store, setting) -> mapping of str to Run
        Runs its parts, by label, each under a plan of its own in the store; without a setting, in
        that of the result that ships.
    dim : str
        Dim of the parts in the result; a study with a single part has no such dim.
    shown : callable (xarray.Dataset) -> ndarray of str
        Selects the images of a part that chapters show, by their file names; they ship with the
        result.
    needs : tuple of str
        Studies whose results it reads from the same store.
    setting : CommonSetting, optional
        Of the result that ships.
    plan : callable (pipe, hrv, setting) -> iterator of (str, Trial), optional
        Plans its trials, by label, without running any; none: it collects votes. What it chooses
        by the result of another study, it takes as it comes first.
    lacks : callable (setting) -> sequence of str
        Names the concepts whose cases are left out, since the setting has no vectors of them.
        Raises a ParameterError if nothing remains.
    """

    name: str
    run: Callable[..., Mapping[str, Run]]
    dim: str = "part"
    shown: Callable[[xr.Dataset], NDArray[np.str_]] = no_images
    needs: tuple[str, ...] = ()
    setting: CommonSetting | None = None
    plan: Callable[..., Iterator[tuple[str, Trial]]] | None = None
    lacks: Callable[..., Sequence[str]] = nothing_lacks


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
    column : str, optional
        Of the prompts, if they are a table.
    evaluators : callable () -> mapping of str to Score
        Loads the scores, by the names of their evaluators.
    client : distributed.Client, optional
        Of a cluster that generates the images.
    progress : bool
    """

    steps: int = 20
    batch_size: int = 16
    concepts: str | Path = MINIATURE
    prompts: str | Path = MINIATURE
    column: str | None = None
    evaluators: Callable[[], Mapping[str, Score]] = judge_and_clip
    client: Client | None = None
    progress: bool = True

    @property
    def how(self) -> dict[str, Any]:
        """Keywords of every function that runs a trial."""
        return {"client": self.client, "progress": self.progress}

    @property
    def names(self) -> tuple[str, ...]:
        """The concepts of which there are vectors."""
        return ConceptSet.read(self.concepts).names


def split_cases(
    cases: Iterable[Case], concepts: Callable[[Case], Iterable[str]], setting: CommonSetting
) -> tuple[list[Case], list[str]]:
    """Split cases into those that there are vectors for, and the concepts that others lack.

    Parameters
    ----------
    cases : iterable of case
    concepts : callable (case) -> iterable of str
        Returns the concepts whose vectors a case needs.
    setting : CommonSetting

    Returns
    -------
    kept : list of case
    lacking : list of str
        Concepts without vectors.

    Raises
    ------
    ParameterError
        If no case is kept.
    """
    listed, names = list(cases), setting.names
    kept = [case for case in listed if {*concepts(case)} <= {*names}]
    needed = dict.fromkeys(name for case in listed for name in concepts(case))
    lacking = [name for name in needed if name not in names]
    if not kept:
        raise ParameterError(
            f"no case has vectors: the cases are of {', '.join(needed)}, the concepts are "
            f"{', '.join(names)}"
        )
    return kept, lacking
