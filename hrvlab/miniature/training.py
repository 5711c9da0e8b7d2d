"""The training loop of every stage: seeded, checkpointed, resumable, on one or more processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hrvlab.errors import StoreError
from hrvlab.progress import track

if TYPE_CHECKING:
    from torch import Tensor

WARMUP = 200
DECAY = 0.25  # share of the steps, the last ones, over which the learning rate falls to zero
LOG_EVERY = 50
SAVE_EVERY_S = 240.0


@dataclass(frozen=True)
class Stage:
    """A model to train, its loss, and its hyperparameters.

    Parameters
    ----------
    name : str
        Names the checkpoint and the log.
    model : torch.nn.Module
        The weights to train.
    loss : callable (model, rng) -> Tensor
        Samples a batch with the generator and computes the loss, a scalar.
    steps : int
        Optimizer steps.
    learning_rate : float
        Peak learning rate, after a linear warm-up; it falls linearly to zero over the last quarter.
    ema_decay : float
        Decay of the exponential moving average of the weights.
    preview : callable (model, path) -> None, optional
        Saves a grid of samples of the averaged model as PNG.
    """

    name: str
    model: nn.Module
    loss: Callable[[nn.Module, np.random.Generator], Tensor]
    steps: int
    learning_rate: float
    ema_decay: float
    preview: Callable[[nn.Module, Path], None] | None = None


def train(stage: Stage, folder: Path, *, seed: int = 0, save_every_s: float = SAVE_EVERY_S) -> None:
    """Train a stage to its last step, resuming from its checkpoint if there is one.

    Writes ``{name}.safetensors`` (the checkpoint), ``{name}.jsonl`` (the loss every 50 steps and
    the seconds that these took) and ``{name}-samples/`` into the folder. In a process group, every
    process samples its own batches and gradients are averaged.

    Parameters
    ----------
    stage : Stage
    folder : Path
        Working folder, not part of the repository.
    seed : int
        Every batch derives from (seed, rank, step), so that a resumed training is the same.
    save_every_s : float
        Seconds between checkpoints.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    model = stage.model.train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(stage.ema_decay))
    optimizer = torch.optim.AdamW(
        model.parameters(), stage.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    start = _restore(checkpoint_path(folder, stage.name), model, average, optimizer)
    trained = nn.parallel.DistributedDataParallel(model) if processes > 1 else model
    steps = range(start, stage.steps)
    bar = track(steps, stage.name, stage.steps, initial=start, disable=rank > 0)
    saved = logged = time.monotonic()
    losses = []
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _schedule(step, stage.steps)
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, rank, step]))
        torch.manual_seed(int(rng.integers(2**62)))
        loss = stage.loss(trained, rng)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        losses.append(loss.item())
        last = step + 1 == stage.steps
        if rank == 0 and (last or (step + 1) % LOG_EVERY == 0):
            mean = float(np.mean(losses[-LOG_EVERY:]))
            bar.set_postfix(loss=f"{mean:.4f}")
            _log(folder, stage.name, step + 1, mean, time.monotonic() - logged)
            logged = time.monotonic()
        if rank == 0 and (last or time.monotonic() - saved > save_every_s):
            _save(checkpoint_path(folder, stage.name), step + 1, model, average, optimizer)
            _preview(stage, average.module, folder, step + 1)
            saved = time.monotonic()
    if processes > 1:
        dist.barrier()  # so that no process reads the checkpoint before it is written


def _log(folder: Path, name: str, step: int, loss: float, seconds: float) -> None:
    entry = {"step": step, "loss": round(loss, 5), "seconds": round(seconds, 1)}
    with (folder / f"{name}.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")


def _preview(stage: Stage, model: nn.Module, folder: Path, step: int) -> None:
    if stage.preview is not None:
        samples = folder / f"{stage.name}-samples"
        samples.mkdir(exist_ok=True)
        stage.preview(model, samples / f"{step:06d}.png")


def checkpoint_path(folder: Path, name: str) -> Path:
    """Return the path of a stage's checkpoint."""
    return folder / f"{name}.safetensors"


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
        prefix = "average.module."
        names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        return {key.removeprefix(prefix): file.get_tensor(key) for key in names}


def save_finished(folder: Path, name: str, step: int, weights: dict[str, Tensor]) -> None:
    """Save weights that were trained elsewhere as a stage's last checkpoint."""
    tensors = {f"model.{k}": v for k, v in weights.items()}
    tensors |= {f"average.module.{k}": v for k, v in weights.items()}
    tensors["average.n_averaged"] = torch.tensor(step)
    _write(checkpoint_path(folder, name), step, tensors)


def _schedule(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARMUP, (steps - step) / (DECAY * steps))


def _save(
    path: Path, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    _write(path, step, tensors)


def _write(path: Path, step: int, tensors: dict[str, Tensor]) -> None:
    partial = path.with_suffix(".partial")
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, partial, {"step": str(step)})
    partial.replace(path)


def _restore(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for key in file.keys():  # noqa: SIM118
            kind, name = key.split(".", 1)
            groups[kind][name] = file.get_tensor(key)
    model.load_state_dict(groups["model"])
    average.load_state_dict(groups["average"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimizer"].items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return step
