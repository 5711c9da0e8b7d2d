"""The study that heads vote in: the vectors of all other studies."""

from __future__ import annotations

from pathlib import Path

import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.concepts import ConceptSet
from hrvlab.prompts import read_prompts
from hrvlab.relevance.vectors import relevance
from hrvlab.relevance.votes import collect_votes
from hrvlab.results.setting import SHIPPED, Setting

VOTES = "votes"


def run_votes(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Collect the votes of the model's heads for its concepts, from all prompts."""
    concepts, prompts = ConceptSet.read(setting.concepts), read_prompts(setting.prompts)
    return {VOTES: collect_votes(pipe, concepts, prompts, store=store / VOTES, **setting.call)}


def vectors(pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED) -> xr.DataArray:
    """Give the Head Relevance Vectors that every study uses."""
    return relevance(run_votes(pipe, store, setting)[VOTES])
