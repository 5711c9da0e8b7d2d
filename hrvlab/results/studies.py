"""The studies whose results ship, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.concepts import ConceptSet
from hrvlab.models.load import MINIATURE
from hrvlab.prompts import read_prompts
from hrvlab.relevance.vectors import relevance
from hrvlab.relevance.votes import collect_votes
from hrvlab.results.study import Study

STEPS = 20
BATCH_SIZE = 16
CALL: dict[str, Any] = {"num_inference_steps": STEPS, "batch_size": BATCH_SIZE}
VOTES = "votes"


def no_pictures(part: xr.Dataset) -> NDArray[np.str_]:
    """Ship no pictures."""
    return np.array([], str)


def run_votes(pipe: DiffusionPipeline, store: Path) -> dict[str, xr.Dataset]:
    """Collect the votes of the miniature's heads for its concepts, from all its prompts."""
    concepts = ConceptSet.read(MINIATURE)
    prompts = read_prompts(MINIATURE)
    return {VOTES: collect_votes(pipe, concepts, prompts, store=store / VOTES, **CALL)}


def vectors(pipe: DiffusionPipeline, store: Path) -> xr.DataArray:
    """Give the Head Relevance Vectors that every study uses."""
    return relevance(run_votes(pipe, store)[VOTES])


STUDIES: Mapping[str, Study] = {
    study.name: study for study in (Study(VOTES, run_votes, "part", no_pictures),)
}
