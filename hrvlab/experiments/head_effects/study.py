"""The study of the effects of single heads: all concepts at full scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.experiments.head_effects.trial import effects_beside_attention
from hrvlab.experiments.study import CommonSetting, Study
from hrvlab.experiments.weakening.cases import choose_cases, read_weakening
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.inputs.cases import Split
    from hrvlab.storage.run import Run

HEAD_EFFECTS = "head-effects"


@dataclass(frozen=True)
class HeadEffectsSetting(CommonSetting):
    """Parameters of the study.

    Parameters
    ----------
    steps : int
        Denoising steps; fewer than in other studies, because every head needs an image of its own.
    cases : str or Path
        Prompts of each concept, those of ordered weakening.
    split : {"dev", "test"}
    prompts_each, seeds_each : int
        Numbers of prompts of each concept, and of images of each prompt.
    """

    steps: int = 6
    cases: str | Path = MINIATURE
    split: Split = "test"
    prompts_each: int = 8
    seeds_each: int = 2


def run_head_effects(
    pipe: DiffusionPipeline, store: Path, setting: HeadEffectsSetting = HeadEffectsSetting()
) -> dict[str, Run]:
    """Weaken every head alone, for every concept, and measure its attention to the word."""
    score, cases = setting.evaluators(), setting.cases
    return {
        concept: effects_beside_attention(
            pipe,
            **choose_cases(
                cases, concept, setting.prompts_each, setting.seeds_each, split=setting.split
            ),
            score=score,
            store=store / HEAD_EFFECTS,
            **setting.call,
        )
        for concept in read_weakening(cases).concepts
    }


STUDY = Study(HEAD_EFFECTS, run_head_effects, "concept")
