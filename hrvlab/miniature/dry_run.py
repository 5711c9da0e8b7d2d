"""Forecast what a training of the miniature takes, from a few steps of each of its stages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from hrvlab.miniature.checkpoints import checkpoint_path
from hrvlab.miniature.dataset import CHUNK
from hrvlab.miniature.recipe import STAGES, start_from
from hrvlab.miniature.rendering import check_font
from hrvlab.miniature.tokens import START_FOLDER
from hrvlab.miniature.training import Budget
from hrvlab.rehearsal import MemoryWatch, bytes_text, duration_text
from hrvlab.storage.atomic import temporary_folder

if TYPE_CHECKING:
    from hrvlab.miniature.recipe import Recipe

FIRST, MORE = 1, 4  # steps, of which the time of one follows
MEASURED = 2  # images of each question
ARRAY = ".npy"  # ends the names of files that grow with the number of images
TRAINED = ("clip", "autoencoder", "denoiser", "decoder", "judge", "joint")
# What has to be there before a stage.
NEEDS = {
    "denoiser": ("clip", "autoencoder"),
    "decoder": ("autoencoder",),
    "judge": ("autoencoder", "decoder"),
    "assemble": TRAINED[:-1],
    "measure": (*TRAINED[:-1], "assemble"),
    "joint": ("clip", "autoencoder"),
    "assemble-joint": ("clip", "autoencoder", "joint"),
}


@dataclass(frozen=True)
class StageForecast:
    """What a stage of a training is forecast to take.

    Parameters
    ----------
    seconds : float
        Wall time.
    memory : int
        Bytes of all its processes at most.
    written : int
        Bytes on disk that are not there yet.
    steps : int
        That remain of a training; 0 for other stages, and if its budget is a time alone.
    seconds_per_step : float
        As measured; 0 for other stages.
    """

    seconds: float
    memory: int
    written: int
    steps: int = 0
    seconds_per_step: float = 0.0

    def __str__(self) -> str:
        """Return the forecast as one line."""
        count = f"{self.steps} steps" if self.steps else "steps"
        steps = f" ({count} of {self.seconds_per_step:.2g} s)" if self.seconds_per_step else ""
        return (
            f"{duration_text(self.seconds)}{steps}, {bytes_text(self.memory)} of memory, "
            f"{bytes_text(self.written)} on disk"
        )


def rehearse_stages(
    names: Sequence[str], folder: Path, recipe: Recipe, start: Path | None = None
) -> Iterator[tuple[str, StageForecast]]:
    """Forecast what stages take; they are trained for a few steps in a folder that is removed.

    Parameters
    ----------
    names : sequence of str
        Some of `hrvlab.miniature.recipe.STAGES`.
    folder : Path
        Working folder: what is finished there is not done again. Nothing is written to it.
    recipe : Recipe
    start : Path, optional
        An earlier miniature, whose weights the training would start from.

    Yields
    ------
    str
        The name of the stage.
    StageForecast

    Raises
    ------
    StoreError
        If the emoji font is not installed.
    """
    check_font()
    begun = folder / START_FOLDER
    earlier = begun if begun.exists() else start
    # One process renders so many at once, and they are more than the largest batch.
    few = replace(recipe, images=CHUNK, measured_images=min(recipe.measured_images, MEASURED))
    needed = {*names, *(one for name in names for one in NEEDS.get(name, ()))}
    with temporary_folder() as scratch:
        if earlier:
            start_from(earlier, scratch)
        for name in (name for name in STAGES if name in needed):
            before = _files(scratch)
            with MemoryWatch() as watch:
                first = _run(name, scratch, few, FIRST)
                again = _run(name, scratch, few, MORE) if name in TRAINED else 0.0
            made = _files(scratch) - before
            ratio = recipe.images / CHUNK
            if name in names:
                new = [path for path in made if not (folder / path).exists()]
                arrays = ratio if any(path.suffix == ARRAY for path in new) else 0.0
                sizes = {path: (scratch / path).stat().st_size for path in new}
                written = sum(
                    size * (ratio if path.suffix == ARRAY else 1) for path, size in sizes.items()
                )
                found = StageForecast(0.0, watch.memory, round(written))
                if name in TRAINED:
                    per_step = _trained(scratch, name)[1] / MORE
                    yield (
                        name,
                        _of_training(name, folder, recipe, found, per_step, (first, again), arrays),
                    )
                else:
                    share = recipe.measured_images / few.measured_images
                    times = share if name == "measure" else 1.0
                    yield name, replace(found, seconds=first * times)


def _of_training(
    name: str,
    folder: Path,
    recipe: Recipe,
    found: StageForecast,
    per_step: float,
    spent: tuple[float, float],
    arrays: float,
) -> StageForecast:
    """Forecast the time of a training from that of its first steps, and of some more.

    Parameters
    ----------
    name, folder, recipe
        See `rehearse_stages`.
    found : StageForecast
        Without its time.
    per_step : float
    spent : tuple of float
        Seconds of the first rehearsal, which prepared images, and of the one that resumed it.
    arrays : float
        By how much preparing images takes longer than it did; 0: they are there.
    """
    budget: Budget = getattr(recipe, name)
    done, before = _trained(folder, name)
    left = max(0.0, 1 - budget.progress(done, before))
    totals = [budget.steps * per_step] if budget.steps else []
    totals += [budget.seconds] if budget.seconds else []
    first, again = spent
    once = max(0.0, again - (MORE - FIRST) * per_step)
    prepared = max(0.0, first - once - FIRST * per_step)
    # More images than one process prepares at a time are shared out among all cores.
    cores = (os.cpu_count() or 1) if recipe.images > CHUNK else 1
    return replace(
        found,
        seconds=left * min(totals) + once + prepared * arrays / cores,
        steps=round(left * budget.steps) if budget.steps else 0,
        seconds_per_step=per_step,
    )


def _run(name: str, folder: Path, recipe: Recipe, steps: int) -> float:
    """Run a stage, a training for so many steps in all, and return the seconds that it took."""
    budgets: dict[str, Any] = dict.fromkeys(TRAINED, Budget(steps))
    begun = perf_counter()
    STAGES[name](folder, folder / "pipeline", replace(recipe, **budgets))
    return perf_counter() - begun


def _trained(folder: Path, name: str) -> tuple[int, float]:
    """Read from a checkpoint how many steps were taken, and in how many seconds."""
    path = checkpoint_path(folder, name)
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        about = file.metadata()
    return int(about["step"]), float(about["seconds"])


def _files(folder: Path) -> set[Path]:
    """List all files within a folder, relative to it."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
