"""One training loop for every stage: checkpointed, resumable, seeded, on one or more processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from hrvlab.errors import StoreError

WARMUP = 200
DECAY = 0.25  # the last part of training, in which the learning rate falls to zero
SAVE_EVERY_S = 240.0


@dataclass(frozen=True)
class Stage:
    """What one stage of training needs.

    Parameters
    ----------
    name : str
        Names its checkpoint and its log.
    model : torch.nn.Module
        What is trained; averaged exponentially as it goes.
    loss : callable (model, rng) -> Tensor
        Draws a batch with the generator and gives the loss, a scalar.
    steps : int
        Optimiser steps.
    learning_rate : float
        Peak rate; warmed up, held, and brought linearly to zero over the last quarter.
    average : float
        Decay of the weight average.
    preview : callable (model, path) -> None
        Draws a sample sheet from the averaged model.
    """

    name: str
    model: nn.Module
    loss: Callable[[nn.Module, np.random.Generator], Tensor]
    steps: int
    learning_rate: float
    average: float
    preview: Callable[[nn.Module, Path], None]


def train(stage: Stage, folder: Path, *, seed: int = 0, save_every_s: float = SAVE_EVERY_S) -> None:
    """Train a stage to its end, from its last checkpoint if there is one.

    Leaves ``{name}.safetensors`` (checkpoint), ``{name}.jsonl`` (loss curve, with the seconds that
    each part of it took) and ``{name}-samples/`` in the folder. In a process group each process
    draws its own batches, and gradients are averaged.

    Parameters
    ----------
    stage : Stage
    folder : Path
        Working folder, not part of the repository.
    seed : int
        Batches derive from (seed, rank, step).
    save_every_s : float
        Seconds between checkpoints.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    model = stage.model.train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(stage.average))
    optimizer = torch.optim.AdamW(
        model.parameters(), stage.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    start = _restore(checkpoint_path(folder, stage.name), model, average, optimizer)
    trained = nn.parallel.DistributedDataParallel(model) if processes > 1 else model
    bar = tqdm(range(start, stage.steps), stage.name, stage.steps, initial=start, disable=rank > 0)
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
        if rank == 0 and (last or (step + 1) % 50 == 0):
            mean = float(np.mean(losses[-50:]))
            bar.set_postfix(loss=f"{mean:.4f}")
            entry = {"step": step + 1, "loss": round(mean, 5)}
            entry["seconds"] = round(time.monotonic() - logged, 1)
            logged = time.monotonic()
            with (folder / f"{stage.name}.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")
        if rank == 0 and (last or time.monotonic() - saved > save_every_s):
            _save(checkpoint_path(folder, stage.name), step + 1, model, average, optimizer)
            sheets = folder / f"{stage.name}-samples"
            sheets.mkdir(exist_ok=True)
            stage.preview(average.module, sheets / f"{step + 1:06d}.png")
            saved = time.monotonic()
    if processes > 1:
        dist.barrier()  # nobody reads the checkpoint before it is written


def checkpoint_path(folder: Path, name: str) -> Path:
    """Say where a stage keeps its checkpoint."""
    return folder / f"{name}.safetensors"


def averaged_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Read the averaged weights of a stage's checkpoint.

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
    """Write weights as the checkpoint of a stage that was trained to its end elsewhere."""
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
