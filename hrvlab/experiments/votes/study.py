"""The study of votes, from which the vectors of all other studies are built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from hrvlab.experiments.study import CommonSetting, Study
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.relevance import votes
from hrvlab.relevance.vectors import relevance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.storage.run import Run

VOTES = "votes"
SHIPPED = CommonSetting()


def run_votes(
    pipe: DiffusionPipeline, store: Path, setting: CommonSetting = SHIPPED
) -> dict[str, Run]:
    """Collect the votes of the model's heads, from all prompts.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    store : Path
        Of all studies; votes are kept in its folder ``votes``.
    setting : CommonSetting

    Returns
    -------
    dict of str to Run
        A single part, see `hrvlab.collect_votes`.

    Examples
    --------
    >>> from hrvlab.experiments.study import CommonSetting
    >>> from hrvlab.experiments.votes import run_votes
    >>> setting = CommonSetting(prompts=store / "prompts.txt", steps=2, progress=False)
    >>> _ = setting.prompts.write_text("a red car")
    >>> run_votes(pipe, store, setting)["votes"].data.sizes["prompt"]
    1
    """
    concepts = ConceptSet.read(setting.concepts)
    prompts = read_prompts(setting.prompts, setting.column)
    how = {"store": store / VOTES, **setting.call, **setting.how}
    run = votes.run_votes(pipe, concepts, prompts, **how)
    return {VOTES: run}


def vectors(pipe: DiffusionPipeline, store: Path, setting: CommonSetting = SHIPPED) -> xr.DataArray:
    """Build the Head Relevance Vectors that all other studies use.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    store : Path
        Of all studies; votes that it holds are not collected again.
    setting : CommonSetting

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.

    Examples
    --------
    >>> from hrvlab.experiments.study import CommonSetting
    >>> from hrvlab.experiments.votes import vectors
    >>> setting = CommonSetting(prompts=store / "prompts.txt", steps=2, progress=False)
    >>> _ = setting.prompts.write_text("a red car")
    >>> vectors(pipe, store, setting).dims
    ('concept', 'head_position')
    """
    return relevance(run_votes(pipe, store, setting)[VOTES].data)


STUDY = Study(VOTES, run_votes, setting=SHIPPED)
