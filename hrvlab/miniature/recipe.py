"""The training recipe of the miniature: its stages in order, and how long each trains."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from hrvlab.errors import StoreError
from hrvlab.miniature.assembly import (
    TRAINED,
    assemble,
    trained_autoencoder,
    trained_clip,
    trained_unet,
)
from hrvlab.miniature.autoencoder import autoencoder_stage, encode_images
from hrvlab.miniature.clip import clip_stage
from hrvlab.miniature.denoiser import build_unet, denoiser_stage
from hrvlab.miniature.judge import judge_stage, save_judge
from hrvlab.miniature.lessons import LESSONS
from hrvlab.miniature.pairs import measure_pairs
from hrvlab.miniature.quality import measure_quality
from hrvlab.miniature.rendering import check_font
from hrvlab.miniature.tokens import kept_tokenizer
from hrvlab.miniature.training import train

if TYPE_CHECKING:
    from hrvlab.miniature.training import Stage

UNET_PROCESSES = 2


@dataclass(frozen=True)
class Recipe:
    """The sizes of a training and of the evaluation after it.

    Parameters
    ----------
    images : int
        Training images, shared by all stages.
    clip_steps, autoencoder_steps, judge_steps : int
        Optimizer steps of each stage.
    unet_steps : mapping of str to int
        Optimizer steps of each lesson of the UNet, each taken by two processes together.
    measured_images : int
        Images generated for each question of the quality report.
    measured_scenes : int
        Held-out scenes rendered for the quality report.
    measured_pairs : int
        Scenes rendered to calibrate the judge's thresholds for two objects, and again to measure
        its error rates.
    sampling_steps : int
        Denoising steps of the sample grids and of the quality report.
    """

    images: int = 96_000
    clip_steps: int = 3200
    autoencoder_steps: int = 12_000
    judge_steps: int = 4800
    unet_steps: Mapping[str, int] = field(
        default_factory=lambda: {
            "denoiser": 8000,
            "word-conditioning": 2000,
            "word-conditioning-longer": 4000,
            "noisy-steps": 3000,
            "from-pure-noise": 1200,
            "forgotten-attributes": 1100,
            "forgotten-attributes-again": 2800,
        }
    )
    measured_images: int = 512
    measured_scenes: int = 2000
    measured_pairs: int = 480
    sampling_steps: int = 25


SHIPPED = Recipe()
SMOKE = Recipe(
    images=250,
    clip_steps=2,
    autoencoder_steps=2,
    judge_steps=2,
    unet_steps=dict.fromkeys(LESSONS, 1),
    measured_images=1,
    measured_scenes=40,
    measured_pairs=8,
    sampling_steps=1,
)


def train_clip(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the tokenizer and CLIP."""
    torch.manual_seed(0)
    tokenizer = kept_tokenizer(folder)
    stage = clip_stage(tokenizer, folder, images=recipe.images, steps=recipe.clip_steps)
    train(stage, folder)


def train_autoencoder(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the autoencoder."""
    torch.manual_seed(0)
    stage = autoencoder_stage(folder, images=recipe.images, steps=recipe.autoencoder_steps)
    train(stage, folder)


def train_judge(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the judge."""
    torch.manual_seed(0)
    stage = judge_stage(
        folder, trained_autoencoder(folder), images=recipe.images, steps=recipe.judge_steps
    )
    train(stage, folder)


def train_unet(lessons: list[str], folder: Path, recipe: Recipe) -> None:
    """Train the UNet in some of its lessons, one after the other."""
    # Encoding takes minutes: fail before it if an earlier stage is missing.
    trained_clip(folder)
    for number, lesson in enumerate(lessons):
        before = LESSONS[lesson].after
        if before and before not in lessons[:number]:
            trained_unet(folder, before)
    encode_images(folder, trained_autoencoder(folder), recipe.images)
    _in_processes(lessons, folder, recipe)


def _in_processes(lessons: list[str], folder: Path, recipe: Recipe) -> None:
    """Train in two single-threaded processes, the fastest way to use two cores."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Spawned processes inherit the environment, but not the logging set up by the command line.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        spawn(_process, (port, lessons, folder, recipe), UNET_PROCESSES)
    except ProcessExitedException as error:
        raise StoreError(
            f"a training process died ({error}); train again to resume from the last checkpoint"
        ) from error


def _process(rank: int, port: int, lessons: list[str], folder: Path, recipe: Recipe) -> None:
    """Train as one of several processes."""
    # The parent sends this signal when it dies; background jobs of a shell ignore it by default.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, rank=rank, world_size=UNET_PROCESSES)
    for lesson in lessons:
        # Seeded before the models are built, because building them draws random numbers too.
        torch.manual_seed(0)
        train(_unet_stage(lesson, folder, recipe), folder)
    dist.destroy_process_group()


def _unet_stage(name: str, folder: Path, recipe: Recipe) -> Stage:
    before = LESSONS[name].after
    unet = trained_unet(folder, before) if before else build_unet()
    clip, tokenizer = trained_clip(folder)
    return denoiser_stage(
        name,
        folder,
        unet,
        trained_autoencoder(folder),
        clip.text_model,
        tokenizer,
        images=recipe.images,
        steps=recipe.unet_steps[name],
        sampling_steps=recipe.sampling_steps,
    )


def assemble_pipeline(folder: Path, target: Path, recipe: Recipe) -> None:
    """Save the pipeline, CLIP and the judge in the target folder."""
    assemble(folder, target, images=recipe.images)
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


OTHER_STAGES: dict[str, Callable[[Path, Path, Recipe], None]] = {
    "clip": train_clip,
    "autoencoder": train_autoencoder,
    "judge": train_judge,
    "assemble": assemble_pipeline,
    "measure": measure,
}
STAGES = (*TRAINED, "assemble", "measure")


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
        If the emoji font is not installed, or an earlier stage has not been trained.
    """
    check_font()
    for of_unet, group in groupby(names, LESSONS.__contains__):
        if of_unet:
            # In one call, because starting the processes takes many seconds.
            train_unet(list(group), folder, recipe)
        else:
            for name in group:
                OTHER_STAGES[name](folder, target, recipe)
