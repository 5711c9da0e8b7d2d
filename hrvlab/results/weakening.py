"""The studies that weaken heads: in order, one by one, and in other ways than the published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.experiments.ablations import ablate
from hrvlab.experiments.causal import effects_beside_attention
from hrvlab.experiments.weakening import weaken
from hrvlab.relevance.vectors import relevance
from hrvlab.results.setting import SHIPPED, Setting
from hrvlab.results.votes import run_ballots, vectors

WEAKENING, EFFECTS, ABLATIONS = "weakening", "effects", "ablations"
SHOWN = ("MoRHF", "LeRHF", "random 0")


def run_weakening(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Weaken heads in order of their relevance, for every concept of the benchmark."""
    hrv, score = vectors(pipe, store, setting), setting.witnesses()
    return {
        concept: weaken(
            pipe,
            hrv,
            concept,
            **setting.cases(concept, setting.seeds_each),
            score=score,
            cuts=setting.cuts,
            draws=setting.draws,
            store=store / WEAKENING,
            **setting.call,
        )
        for concept in setting.read_benchmark().concepts
    }


def first_prompt(part: xr.Dataset) -> NDArray[np.str_]:
    """Name the pictures of a concept's first prompt and seed, in three orders."""
    return part["image"].sel(order=list(SHOWN)).isel(prompt=0, seed=0).values


def run_effects(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Weaken every head alone, for every concept of the benchmark, and see what it attends to."""
    score, call = setting.witnesses(), {**setting.call, "num_inference_steps": setting.effect_steps}
    return {
        concept: effects_beside_attention(
            pipe,
            **setting.cases(concept, setting.seeds_each),
            score=score,
            store=store / EFFECTS,
            **call,
        )
        for concept in setting.read_benchmark().concepts
    }


def run_ablations(
    pipe: DiffusionPipeline, store: Path, setting: Setting = SHIPPED
) -> dict[str, xr.Dataset]:
    """Weaken a few concepts' heads in other ways, and in the order of other vectors."""
    hrv = vectors(pipe, store, setting)
    ballots = {name: relevance(votes) for name, votes in run_ballots(pipe, store, setting).items()}
    score = setting.witnesses()
    return {
        f"{concept}, {variant}": part
        for concept in setting.ablated
        for variant, part in ablate(
            pipe,
            hrv,
            concept,
            ballots=ballots,
            **setting.cases(concept, setting.ablation_seeds),
            score=score,
            cuts=setting.ablation_cuts,
            draws=setting.ablation_draws,
            store=store / ABLATIONS,
            **setting.call,
        ).items()
    }
