"""The training recipe of the miniature: its stages in order, and how long each trains."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hrvlab.miniature.assembly import assemble, assemble_joint
from hrvlab.miniature.autoencoder import (
    autoencoder_stage,
    decoder_stage,
    encode_images,
    measure_channels,
    trained_autoencoder,
)
from hrvlab.miniature.clip import clip_stage, trained_clip
from hrvlab.miniature.denoising import denoiser_stage
from hrvlab.miniature.flow import joint_stage
from hrvlab.miniature.judge import judge_stage, save_judge
from hrvlab.miniature.pairs import measure_pairs
from hrvlab.miniature.processes import train_in_processes
from hrvlab.miniature.quality import measure_quality
from hrvlab.miniature.rendering import check_font
from hrvlab.miniature.tokens import START_FOLDER, encode_captions
from hrvlab.miniature.training import Budget, train
from hrvlab.storage.atomic import storing

if TYPE_CHECKING:
    from hrvlab.miniature.training import Stage

BuildStage = Callable[..., "Stage"]


@dataclass(frozen=True)
class Recipe:
    """The sizes of a training and of the evaluation after it.

    Parameters
    ----------
    side : int
        Of the images: 64, which suits CPU cores, or 128, which suits a GPU.
    images : int
        Training images, shared by all stages.
    clip, autoencoder, decoder, judge, denoiser, joint : Budget
        How long each stage trains.
    batch : int
        Images in a step of a denoiser, over all processes.
    measured_images : int
        Images generated for each question of the quality report.
    measured_scenes : int
        Held-out scenes rendered for the quality report.
    measured_pairs : int
        Scenes rendered to calibrate the judge's thresholds for two objects, and again to measure
        its error rates.
    sampling_steps : int
        Denoising steps of the samples and of the quality report.
    """

    side: int = 64
    images: int = 60_000
    clip: Budget = field(default_factory=lambda: Budget(900))
    autoencoder: Budget = field(default_factory=lambda: Budget(2500))
    decoder: Budget = field(default_factory=lambda: Budget(3000))
    judge: Budget = field(default_factory=lambda: Budget(4800))
    denoiser: Budget = field(default_factory=lambda: Budget(10_000))
    joint: Budget = field(default_factory=lambda: Budget(10_000))
    batch: int = 64
    measured_images: int = 512
    measured_scenes: int = 2000
    measured_pairs: int = 480
    sampling_steps: int = 12


SHIPPED = Recipe()
SMOKE = Recipe(
    images=250,
    clip=Budget(2),
    autoencoder=Budget(2),
    decoder=Budget(2),
    judge=Budget(2),
    denoiser=Budget(2),
    joint=Budget(2),
    batch=4,
    measured_images=1,
    measured_scenes=30,
    measured_pairs=4,
    sampling_steps=1,
)


def start_from(pipeline: Path, folder: Path) -> None:
    """Copy an earlier miniature into the working folder, for the training to start from.

    The tokenizer is extended, CLIP and the inner levels of the UNet start from its weights. A
    training that has begun keeps what it started from.

    Parameters
    ----------
    pipeline : Path
        Pipeline folder that `assemble` wrote.
    folder : Path
        Working folder.
    """
    target = folder / START_FOLDER
    if not target.exists():
        partial = folder / f"{START_FOLDER}.partial"
        shutil.copytree(pipeline, partial, dirs_exist_ok=True)
        partial.rename(target)


def train_clip(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the tokenizer and CLIP."""
    encode_captions(folder, recipe.images)
    torch.manual_seed(0)
    stage = clip_stage(folder, side=recipe.side, images=recipe.images, budget=recipe.clip)
    train(stage, folder)


def train_autoencoder(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the autoencoder."""
    torch.manual_seed(0)
    stage = autoencoder_stage(
        folder, side=recipe.side, images=recipe.images, budget=recipe.autoencoder
    )
    train(stage, folder)
    measure_channels(folder, recipe.side, recipe.images)


def train_decoder(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the autoencoder's decoder for longer."""
    torch.manual_seed(0)
    train(
        decoder_stage(folder, side=recipe.side, images=recipe.images, budget=recipe.decoder), folder
    )


def train_judge(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the judge."""
    torch.manual_seed(0)
    stage = judge_stage(folder, side=recipe.side, images=recipe.images, budget=recipe.judge)
    train(stage, folder)


def train_denoiser(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the UNet: on the GPU if there is one, else in two processes."""
    _train_on_latents(denoiser_stage, folder, recipe, recipe.denoiser)


def train_joint(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the joint-attention model: on the GPU if there is one, else in two processes."""
    _train_on_latents(joint_stage, folder, recipe, recipe.joint)


def _train_on_latents(build: BuildStage, folder: Path, recipe: Recipe, budget: Budget) -> None:
    # Encoding takes minutes: fail before it if an earlier stage is missing.
    trained_clip(folder, recipe.side)
    trained_autoencoder(folder, recipe.side)
    encode_images(folder, side=recipe.side, images=recipe.images)
    encode_captions(folder, recipe.images)
    stage = partial(_built, build, folder, recipe, budget)
    if torch.cuda.is_available():
        train(stage(1), folder)
    else:
        train_in_processes(stage, folder)


def _built(
    build: BuildStage, folder: Path, recipe: Recipe, budget: Budget, processes: int
) -> Stage:
    # Seeded before the model is built, because building it draws random numbers too.
    torch.manual_seed(0)
    return build(
        folder,
        side=recipe.side,
        images=recipe.images,
        budget=budget,
        batch=recipe.batch // processes,
        steps=recipe.sampling_steps,
    )


def assemble_pipeline(folder: Path, target: Path, recipe: Recipe) -> None:
    """Save the pipeline, CLIP and the judge in the target folder."""
    assemble(folder, target, side=recipe.side, images=recipe.images)
    save_judge(folder, target)


def measure(folder: Path, target: Path, recipe: Recipe) -> None:
    """Measure the quality of the assembled model, and of the judge on two objects."""
    measure_quality(
        target,
        folder,
        images=recipe.measured_images,
        scenes=recipe.measured_scenes,
        steps=recipe.sampling_steps,
    )
    measure_pairs(target, scenes=recipe.measured_pairs)


def assemble_joint_model(folder: Path, target: Path, recipe: Recipe) -> None:
    """Save what the joint-attention model has of its own, beside the assembled miniature."""
    own = target.with_name(f"{target.name}-joint")
    assemble_joint(folder, own, side=recipe.side, images=recipe.images)


STAGES: dict[str, Callable[[Path, Path, Recipe], None]] = {
    "clip": train_clip,
    "autoencoder": train_autoencoder,
    "denoiser": train_denoiser,
    "decoder": train_decoder,
    "judge": train_judge,
    "assemble": assemble_pipeline,
    "measure": measure,
    "joint": train_joint,
    "assemble-joint": assemble_joint_model,
}
ASSEMBLED = ("assemble", "measure", "assemble-joint")  # which write the target
KEPT = "trained stages are kept, and what is unfinished is written again"
# What makes the miniature itself.
MINIATURE = tuple(name for name in STAGES if "joint" not in name)


def run_stages(names: Sequence[str], folder: Path, target: Path, recipe: Recipe) -> None:
    """Run stages in order, each resuming from its last checkpoint.

    Parameters
    ----------
    names : sequence of str
        Some of `STAGES`.
    folder : Path
        Working folder: images, checkpoints, loss curves, sample grids.
    target : Path
        Pipeline folder that the last stages write.
    recipe : Recipe

    Raises
    ------
    StoreError
        If the emoji font is not installed, an earlier stage has not been trained, or something
        cannot be written: checkpoints are kept.
    """
    check_font()
    for name in names:
        with storing(target if name in ASSEMBLED else folder, KEPT):
            STAGES[name](folder, target, recipe)
