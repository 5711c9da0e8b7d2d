"""The study of the effects of single heads: all concepts at full scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.experiments.head_effects.trial import effects_beside_attention, plan_head_effects
from hrvlab.experiments.study import Study
from hrvlab.experiments.weakening.study import (
    WordsSetting,
    chosen_cases,
    lacking_concepts,
    split_concepts,
)
from hrvlab.models.tokens import word_columns

if TYPE_CHECKING:
    import xarray as xr
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.runner import Trial
    from hrvlab.storage.run import Run

HEAD_EFFECTS = "head-effects"


@dataclass(frozen=True)
class HeadEffectsSetting(WordsSetting):
    """Parameters of the study, whose prompts are those of ordered weakening.

    Parameters
    ----------
    steps : int
        Denoising steps; fewer than in other studies, because every head needs an image of its own.
    """

    steps: int = 6


def run_head_effects(
    pipe: DiffusionPipeline, store: Path, setting: HeadEffectsSetting = HeadEffectsSetting()
) -> dict[str, Run]:
    """Weaken every head alone, for every concept, and measure its attention to the word."""
    score = setting.evaluators()
    return {
        concept: effects_beside_attention(
            pipe,
            **chosen_cases(setting, concept),
            score=score,
            store=store / HEAD_EFFECTS,
            **setting.call,
            **setting.how,
        )
        for concept in split_concepts(setting)[0]
    }


def plan_all(
    pipe: DiffusionPipeline, hrv: xr.DataArray, setting: HeadEffectsSetting
) -> Iterator[tuple[str, Trial]]:
    """Plan a trial for every concept that has a vector to be compared, and cases."""
    score = setting.evaluators()
    for concept in split_concepts(setting)[0]:
        given = chosen_cases(setting, concept)
        for prompt, text in zip(given["prompts"], given["texts"], strict=True):
            word_columns(pipe, prompt, text)  # whose attention is measured too
        yield concept, plan_head_effects(pipe, **given, score=score, **setting.call)


STUDY = Study(
    HEAD_EFFECTS,
    run_head_effects,
    "concept",
    setting=HeadEffectsSetting(),
    plan=plan_all,
    lacks=lacking_concepts,
)
