"""The recipe of the miniature: its stages in order, and how long each was trained."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

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
from hrvlab.miniature.autoencoder import autoencoder_stage
from hrvlab.miniature.clip import clip_stage
from hrvlab.miniature.denoiser import build_unet, denoiser_stage, encode_pictures
from hrvlab.miniature.drawing import check_font
from hrvlab.miniature.judging import judge_stage, save_judge
from hrvlab.miniature.lessons import LESSONS
from hrvlab.miniature.pairs import measure_pairs
from hrvlab.miniature.quality import measure
from hrvlab.miniature.tokens import kept_tokenizer
from hrvlab.miniature.training import Stage, train

UNET_PROCESSES = 2


@dataclass(frozen=True)
class Recipe:
    """How much of everything.

    Parameters
    ----------
    pictures : int
        Drawn scenes that all stages train on.
    clip_steps, autoencoder_steps, judge_steps : int
        Optimiser steps of each stage.
    unet_steps : mapping of str to int
        Optimiser steps of the UNet's lessons, taken by two processes together.
    measured_pictures : int
        Pictures generated for each row of the quality table.
    measured_scenes : int
        Held-out scenes drawn for the same.
    measured_pairs : int
        Scenes drawn for the judge's thresholds on two things, and as many for its errors.
    sampling_steps : int
        Denoising steps of the sample sheets and of the measured pictures.
    """

    pictures: int = 96_000
    clip_steps: int = 3200
    autoencoder_steps: int = 12_000
    judge_steps: int = 4800
    unet_steps: Mapping[str, int] = field(
        default_factory=lambda: {
            "denoiser": 8000,
            "reading": 2000,
            "refining": 4000,
            "composing": 3000,
            "beginning": 1200,
            "revising": 1100,
            "rehearsing": 2800,
        }
    )
    measured_pictures: int = 512
    measured_scenes: int = 2000
    measured_pairs: int = 480
    sampling_steps: int = 25


SHIPPED = Recipe()
SMOKE = Recipe(
    pictures=250,
    clip_steps=4,
    autoencoder_steps=4,
    judge_steps=4,
    unet_steps=dict.fromkeys(LESSONS, 2),
    measured_pictures=1,
    measured_scenes=200,
    measured_pairs=16,
    sampling_steps=2,
)


def train_clip(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the tokenizer and CLIP."""
    torch.manual_seed(0)
    tokenizer = kept_tokenizer(folder)
    stage = clip_stage(tokenizer, folder, pictures=recipe.pictures, steps=recipe.clip_steps)
    train(stage, folder)


def train_autoencoder(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the autoencoder."""
    torch.manual_seed(0)
    stage = autoencoder_stage(folder, pictures=recipe.pictures, steps=recipe.autoencoder_steps)
    train(stage, folder)


def train_judge(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the judge."""
    torch.manual_seed(0)
    stage = judge_stage(
        folder, trained_autoencoder(folder), pictures=recipe.pictures, steps=recipe.judge_steps
    )
    train(stage, folder)


def train_unet(lessons: list[str], folder: Path, recipe: Recipe) -> None:
    """Train the UNet in some of its lessons, one after the other."""
    # What is missing should be told before the encoding takes its minutes.
    trained_clip(folder)
    for place, lesson in enumerate(lessons):
        before = LESSONS[lesson].after
        if before and before not in lessons[:place]:
            trained_unet(folder, before)
    encode_pictures(folder, trained_autoencoder(folder), recipe.pictures)
    _in_processes(lessons, folder, recipe)


def _in_processes(lessons: list[str], folder: Path, recipe: Recipe) -> None:
    """Train in two single-threaded processes, which two cores serve best."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # A spawned process inherits the environment, not what the command line silenced.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        spawn(_process, (port, lessons, folder, recipe), UNET_PROCESSES)
    except ProcessExitedException as error:
        raise StoreError(
            f"a process of the training died ({error}); "
            "train again to go on from the last checkpoint"
        ) from error


def _process(rank: int, port: int, lessons: list[str], folder: Path, recipe: Recipe) -> None:
    """Train as one of several processes."""
    # What is sent when the parent dies; a shell's background jobs begin with it ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, rank=rank, world_size=UNET_PROCESSES)
    for lesson in lessons:
        # Seeded before the trained parts are built, for building them takes random numbers too.
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
        pictures=recipe.pictures,
        steps=recipe.unet_steps[name],
        sampling_steps=recipe.sampling_steps,
    )


def assemble_pipeline(folder: Path, target: Path, recipe: Recipe) -> None:
    """Write the pipeline folder, CLIP and the judge beside it."""
    assemble(folder, target, pictures=recipe.pictures)
    save_judge(folder, target)


def measure_quality(folder: Path, target: Path, recipe: Recipe) -> None:
    """Measure what the assembled model draws."""
    measure(
        target,
        folder,
        images=recipe.measured_pictures,
        scenes=recipe.measured_scenes,
        steps=recipe.sampling_steps,
    )
    measure_pairs(target, scenes=recipe.measured_pairs)


OTHER_STAGES: dict[str, Callable[[Path, Path, Recipe], None]] = {
    "clip": train_clip,
    "autoencoder": train_autoencoder,
    "judge": train_judge,
    "assemble": assemble_pipeline,
    "measure": measure_quality,
}
STAGES = (*TRAINED, "assemble", "measure")


def run_stages(names: Sequence[str], folder: Path, target: Path, recipe: Recipe) -> None:
    """Run stages in order; each goes on from its last checkpoint.

    Parameters
    ----------
    names : sequence of str
        Of `STAGES`.
    folder : Path
        Working folder: pictures, checkpoints, loss curves, sample sheets.
    target : Path
        Pipeline folder that the last stages write.
    recipe : Recipe

    Raises
    ------
    StoreError
        If the emoji font is missing, or a stage that comes before was not trained.
    """
    check_font()
    for of_unet, group in groupby(names, LESSONS.__contains__):
        if of_unet:
            # Together, for each start of its processes takes many seconds.
            train_unet(list(group), folder, recipe)
        else:
            for name in group:
                OTHER_STAGES[name](folder, target, recipe)
