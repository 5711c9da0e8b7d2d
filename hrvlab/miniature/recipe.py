"""The recipe of the miniature: its stages in order, and how long each was trained."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from hrvlab.errors import StoreError
from hrvlab.miniature.assembly import assemble, trained_autoencoder, trained_clip, trained_unet
from hrvlab.miniature.autoencoder import autoencoder_stage
from hrvlab.miniature.clip import clip_stage
from hrvlab.miniature.denoiser import build_unet, denoiser_stage, encode_pictures
from hrvlab.miniature.drawing import check_font
from hrvlab.miniature.judging import judge_stage, save_judge
from hrvlab.miniature.pairs import measure_pairs
from hrvlab.miniature.quality import measure
from hrvlab.miniature.tokens import train_tokenizer
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
    denoiser_steps, reading_steps, refining_steps, composing_steps : int
        Optimiser steps of the UNet's four stages, taken by two processes together.
    measured_pictures : int
        Pictures generated for each row of the quality table.
    measured_scenes : int
        Held-out scenes drawn for the same.
    measured_pairs : int
        Scenes drawn for the judge's thresholds on two things, and as many for its errors.
    sampling_steps : int
        Denoising steps of the measured pictures.
    """

    pictures: int = 96_000
    clip_steps: int = 3200
    autoencoder_steps: int = 12_000
    judge_steps: int = 4800
    denoiser_steps: int = 8000
    reading_steps: int = 2000
    refining_steps: int = 4000
    composing_steps: int = 3000
    measured_pictures: int = 512
    measured_scenes: int = 2000
    measured_pairs: int = 480
    sampling_steps: int = 25


SHIPPED = Recipe()
SMOKE = Recipe(
    pictures=2000,
    clip_steps=4,
    autoencoder_steps=4,
    judge_steps=4,
    denoiser_steps=2,
    reading_steps=2,
    refining_steps=2,
    composing_steps=2,
    measured_pictures=1,
    measured_scenes=600,
    measured_pairs=16,
    sampling_steps=2,
)


def train_clip(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the tokenizer and CLIP."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
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


def train_denoiser(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the UNet."""
    trained_clip(folder)  # it must be there before the encoding takes its minutes
    encode_pictures(folder, trained_autoencoder(folder), recipe.pictures)
    _in_processes(_denoise, folder, recipe)


def train_reading(folder: Path, target: Path, recipe: Recipe) -> None:
    """Train the UNet further, from words alone."""
    trained_unet(folder, "denoiser")
    _in_processes(_read, folder, recipe)


def train_refining(folder: Path, target: Path, recipe: Recipe) -> None:
    """Go on from words alone, for the attributes that the reading stage forgot."""
    trained_unet(folder, "reading")
    encode_pictures(folder, trained_autoencoder(folder), recipe.pictures)
    _in_processes(_refine, folder, recipe)


def train_composing(folder: Path, target: Path, recipe: Recipe) -> None:
    """Learn what is decided while the picture is still noise: colours, scenes, weather."""
    trained_unet(folder, "refining")
    encode_pictures(folder, trained_autoencoder(folder), recipe.pictures)
    _in_processes(_compose, folder, recipe)


def _in_processes(stage: Callable[[Path, Recipe], Stage], folder: Path, recipe: Recipe) -> None:
    """Train in two single-threaded processes, which two cores serve best."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # A spawned process inherits the environment, not what the command line silenced.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        spawn(_process, (port, stage, folder, recipe), UNET_PROCESSES)
    except ProcessExitedException as error:
        raise StoreError(
            f"a process of the training died ({error}); "
            "train again to go on from the last checkpoint"
        ) from error


def _process(
    rank: int, port: int, stage: Callable[[Path, Recipe], Stage], folder: Path, recipe: Recipe
) -> None:
    """Train a stage as one of several processes."""
    # What is sent when the parent dies; a shell's background jobs begin with it ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(UNET_PROCESSES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    # Seeded before the trained parts are built, for building them takes random numbers too.
    torch.manual_seed(0)
    train(stage(folder, recipe), folder)


def _denoise(folder: Path, recipe: Recipe) -> Stage:
    return _unet_stage("denoiser", folder, recipe, build_unet(), recipe.denoiser_steps, 1e-3)


def _read(folder: Path, recipe: Recipe) -> Stage:
    unet = trained_unet(folder, "denoiser")
    return _unet_stage("reading", folder, recipe, unet, recipe.reading_steps, 5e-4, reading=True)


def _refine(folder: Path, recipe: Recipe) -> Stage:
    unet = trained_unet(folder, "reading")
    return _unet_stage("refining", folder, recipe, unet, recipe.refining_steps, 5e-4, reading=True)


def _compose(folder: Path, recipe: Recipe) -> Stage:
    unet = trained_unet(folder, "refining")
    return _unet_stage(
        "composing",
        folder,
        recipe,
        unet,
        recipe.composing_steps,
        5e-4,
        reading=True,
        composing=True,
    )


def _unet_stage(
    name: str,
    folder: Path,
    recipe: Recipe,
    unet: UNet2DConditionModel,
    steps: int,
    learning_rate: float,
    *,
    reading: bool = False,
    composing: bool = False,
) -> Stage:
    clip, tokenizer = trained_clip(folder)
    return denoiser_stage(
        name,
        folder,
        unet,
        trained_autoencoder(folder),
        clip.text_model,
        tokenizer,
        pictures=recipe.pictures,
        steps=steps,
        learning_rate=learning_rate,
        reading=reading,
        composing=composing,
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


STAGES: dict[str, Callable[[Path, Path, Recipe], None]] = {
    "clip": train_clip,
    "autoencoder": train_autoencoder,
    "judge": train_judge,
    "denoiser": train_denoiser,
    "reading": train_reading,
    "refining": train_refining,
    "composing": train_composing,
    "assemble": assemble_pipeline,
    "measure": measure_quality,
}


def run_stages(names: list[str], folder: Path, target: Path, recipe: Recipe) -> None:
    """Run stages in order; each goes on from its last checkpoint.

    Parameters
    ----------
    names : list of str
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
    for name in names:
        STAGES[name](folder, target, recipe)
