"""Checkpoints of training stages, written whole or not at all: a kill loses only minutes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import storing

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.miniature.optimizer import Optimizer

KEPT = "what was trained up to the last checkpoint is kept"
AVERAGED, STATE = "averaged.", "state."


def checkpoint_path(folder: Path, name: str) -> Path:
    """Return the path of a stage's checkpoint."""
    return folder / f"{name}.safetensors"


def save_checkpoint(path: Path, optimizer: Optimizer, *, step: int, seconds: float) -> None:
    """Save the state of a training, and its averaged weights by name.

    Parameters
    ----------
    path : Path
    optimizer : Optimizer
    step : int
        Steps taken.
    seconds : float
        Time spent.

    Raises
    ------
    DiskError
        If it cannot be written; an earlier checkpoint then stays as it was.
    """
    tensors = {f"{AVERAGED}{name}": weight for name, weight in optimizer.averaged().items()}
    tensors |= {f"{STATE}{name}": vector.cpu() for name, vector in optimizer.state().items()}
    partial = path.with_suffix(".partial")
    with storing(path, KEPT):
        # Files that safetensors itself writes are closed to all others.
        with partial.open("wb") as file:
            file.write(save(tensors, {"step": str(step), "seconds": repr(seconds)}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def load_checkpoint(path: Path, optimizer: Optimizer) -> tuple[int, float]:
    """Restore the state of a training, if there is a checkpoint.

    Parameters
    ----------
    path : Path
    optimizer : Optimizer
        Of a model of the same form.

    Returns
    -------
    step : int
        Steps taken.
    seconds : float
        Time spent.

    Raises
    ------
    StoreError
        If the checkpoint is of a model of another form.
    """
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(f"{STATE}{name}") for name in optimizer.state()}
        if len(state["weights"]) != len(optimizer.weights):
            raise StoreError(f"{path} is of another model: train in another folder, or delete it")
        optimizer.load(state)
        about = file.metadata()
    return int(about["step"]), float(about["seconds"])


def averaged_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Read the averaged weights from a stage's checkpoint.

    Raises
    ------
    StoreError
        If the stage has not been trained in this folder.
    """
    path = checkpoint_path(folder, name)
    if not path.exists():
        raise StoreError(f"{path} is missing: train the stage {name!r} first")
    with safe_open(path, "pt") as file:
        names = [key for key in file.keys() if key.startswith(AVERAGED)]  # noqa: SIM118
        return {key.removeprefix(AVERAGED): file.get_tensor(key) for key in names}
