"""Studies on a model and on inputs of the user's own: which of them can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hrvlab.errors import HrvlabError, ParameterError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import head_table
from hrvlab.relevance.model import relevance_from_array
from hrvlab.results.registry import find_study, select_studies

if TYPE_CHECKING:
    import xarray as xr
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import CommonSetting, Study

SHIPPED_HEADS = 128  # of the miniature, for which the numbers of weakened heads were chosen


@dataclass(frozen=True)
class Fit:
    """Studies that can run, and why others cannot.

    Parameters
    ----------
    studies : mapping of str to Study
        Each with its own setting.
    notes : sequence of str
        What is left out: studies and concepts, by name, with the reason.
    """

    studies: Mapping[str, Study]
    notes: Sequence[str] = ()


def own_studies(names: Sequence[str] = ()) -> list[str]:
    """Return the names of studies with those that they need, in the order in which they run.

    Parameters
    ----------
    names : sequence of str
        None: all studies.

    Raises
    ------
    ParameterError
        If there is no study of a name.
    """
    wanted = [*select_studies(names)]
    for name in wanted:
        wanted += [needed for needed in find_study(name).needs if needed not in wanted]
    return select_studies(wanted)


def fit_inputs(
    names: Sequence[str], asked: Sequence[str], settings: Mapping[str, CommonSetting]
) -> Fit:
    """Find the studies whose cases fit the concepts, before any model is loaded.

    Parameters
    ----------
    names : sequence of str
        Of studies.
    asked : sequence of str
        Those that the user asked for by name, which are refused rather than left out.
    settings : mapping of str to CommonSetting
        By study.

    Returns
    -------
    Fit

    Raises
    ------
    ParameterError
        If a study that was asked for cannot run, or none can.
    """

    def lacking(name: str) -> str:
        study = find_study(name)
        if concepts := study.lacks(settings[name]):
            return f"{name} leaves out {', '.join(concepts)}, of which there are no vectors"
        return ""

    return _fit(names, asked, settings, lacking)


def fit_model(
    pipe: DiffusionPipeline, fit: Fit, asked: Sequence[str], settings: Mapping[str, CommonSetting]
) -> Fit:
    """Find the studies that a model can run: all their trials are planned, and none is run.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    fit : Fit
        From `fit_inputs`.
    asked, settings
        See `fit_inputs`.

    Returns
    -------
    Fit
        With the numbers of weakened heads as shares of this model's.

    Raises
    ------
    ParameterError
        As `fit_inputs` does.
    """
    scaled = {name: scale_cuts(pipe, setting) for name, setting in settings.items()}
    concepts = ConceptSet.read(next(iter(scaled.values())).concepts)
    hrv, voted = any_vectors(pipe, concepts.names), set[str]()

    def plan(name: str) -> str:
        study = find_study(name)
        if study.plan is None:
            concepts.encode(pipe)
            voted.add(name)
            return ""
        for needed in study.needs:
            if find_study(needed).plan is None and needed not in voted:
                raise ParameterError(f"it needs {needed}, which cannot run")
        for _ in study.plan(pipe, hrv, scaled[name]):
            pass
        return ""

    found = _fit(list(fit.studies), asked, scaled, plan)
    return replace(found, notes=[*fit.notes, *found.notes])


def scale_cuts(pipe: DiffusionPipeline, setting: CommonSetting) -> CommonSetting:
    """Scale the shipped numbers of weakened heads to a model with another number of heads.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    setting : CommonSetting
        Numbers that differ from the shipped ones are the user's, and stay.
    """
    own = getattr(setting, "cuts", None)
    heads = head_table(denoiser_of(pipe)).sizes["head_position"]
    if own is None or own != type(setting)().cuts or heads == SHIPPED_HEADS:  # type: ignore[attr-defined]
        return setting
    scaled = {round(cut * heads / SHIPPED_HEADS) for cut in own}
    cuts = sorted(cut for cut in scaled if 0 < cut < heads)
    return replace(setting, cuts=tuple(cuts))  # type: ignore[call-arg]


def any_vectors(pipe: DiffusionPipeline, concepts: Sequence[str]) -> xr.DataArray:
    """Return vectors of a model that mean nothing, with which trials can be planned.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : sequence of str

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.
    """
    heads = head_table(denoiser_of(pipe)).sizes["head_position"]
    random = np.random.Generator(np.random.Philox(key=0))
    return relevance_from_array(
        random.uniform(0.5, 1.5, (len(concepts), heads)), concepts=concepts, pipe=pipe
    )


def _fit(
    names: Sequence[str],
    asked: Sequence[str],
    settings: Mapping[str, CommonSetting],
    examine: Callable[[str], str],
) -> Fit:
    """Keep the studies that pass an examination, which may have something to say of them."""
    kept: dict[str, Study] = {}
    notes: list[str] = []
    for name in names:
        study = find_study(name)
        try:
            said = examine(name)
        except HrvlabError as error:
            if name in asked:
                raise ParameterError(f"the study {name} cannot run: {error}") from error
            notes.append(f"{name} is left out: {error}")
            continue
        notes += [said] if said else []
        kept[name] = replace(
            study, run=partial(study.run, setting=settings[name]), setting=settings[name]
        )
    if not kept:
        raise ParameterError(f"no study can run: {'; '.join(notes)}")
    return Fit(kept, notes)
