"""The training loop of every stage: seeded, checkpointed, resumable, on one or more processes."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist

from hrvlab.miniature.checkpoints import (
    KEPT,
    checkpoint_path,
    load_checkpoint,
    save_checkpoint,
)
from hrvlab.miniature.optimizer import Optimizer
from hrvlab.progress import track
from hrvlab.storage.atomic import storing

if TYPE_CHECKING:
    from torch import Tensor, nn

WARMUP = 100
DECAY = 0.3  # share of the training, at its end, over which the learning rate falls to zero
LOG_EVERY = 50
SAVE_EVERY_S = 240.0
PREVIEW_EVERY_S = 1800.0


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: a number of steps, a number of seconds, or whichever ends first.

    A training whose budget is in steps alone ends in the same weights however often it is killed
    and resumed.

    Parameters
    ----------
    steps : int, optional
    seconds : float, optional
        Wall time of the training loop, over all its runs.
    """

    steps: int | None = None
    seconds: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return which share of the budget is used, 1 or more at the end; a float32 number."""
        shares = [step / self.steps] if self.steps else []
        shares += [seconds / self.seconds] if self.seconds else []
        return float(np.float32(max(shares)))  # as processes send it to each other


@dataclass(frozen=True)
class Stage:
    """A model to train, its batches, and its hyperparameters.

    Parameters
    ----------
    name : str
        Names the checkpoint and the log.
    model : torch.nn.Module
        Called with a batch it returns the loss, a scalar.
    sample : callable (rng, progress) -> sequence of Tensor
        Samples a batch; progress is the share of the training that is over. The tensors have the
        same shapes in every step.
    budget : Budget
    rate, muon_rate : float
        Peak learning rates of AdamW and of Muon, after a linear warm-up; they fall linearly to
        zero over the last part of the training.
    ema_decay : float
        Decay of the exponential moving average of the weights.
    preview : callable (weights, path) -> None, optional
        Saves a grid of samples of the averaged weights as PNG.
    """

    name: str
    model: nn.Module
    sample: Callable[[np.random.Generator, float], Sequence[Tensor]]
    budget: Budget
    rate: float = 1e-3
    muon_rate: float = 0.01
    ema_decay: float = 0.998
    preview: Callable[[dict[str, Tensor], Path], None] | None = None


def train(stage: Stage, folder: Path, *, seed: int = 0, save_every_s: float = SAVE_EVERY_S) -> None:
    """Train a stage to the end of its budget, resuming from its checkpoint if there is one.

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
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = Optimizer(
        stage.model.train(),
        rate=stage.rate,
        muon_rate=stage.muon_rate,
        ema_decay=stage.ema_decay,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
    path = checkpoint_path(folder, stage.name)
    step, before = load_checkpoint(path, optimizer)
    begun = saved = previewed = logged = time.monotonic()
    progress = stage.budget.progress(step, before)
    losses = []
    steps = itertools.count(step)
    bar = track(steps, stage.name, stage.budget.steps, initial=step, disable=rank > 0)
    while progress < 1:
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, rank, step]))
        torch.manual_seed(int(rng.integers(2**62)))
        batch = stage.sample(rng, progress)
        after = stage.budget.progress(step + 1, before + time.monotonic() - begun)
        loss, after = optimizer.step(batch, step, _schedule(step, progress), after)
        losses.append(loss)
        step, progress = step + 1, after
        bar.update()
        now = time.monotonic()
        if rank == 0 and (progress >= 1 or step % LOG_EVERY == 0):
            mean = float(np.mean(losses[-LOG_EVERY:]))
            bar.set_postfix(loss=f"{mean:.4f}")
            _log(folder, stage.name, step, mean, now - logged)
            logged = now
        if rank == 0 and (progress >= 1 or now - saved > save_every_s):
            save_checkpoint(path, optimizer, step=step, seconds=before + now - begun)
            saved = now
        if rank == 0 and (progress >= 1 or now - previewed > PREVIEW_EVERY_S):
            _preview(stage, optimizer, folder, step)
            previewed = now
    bar.close()
    if dist.is_initialized():
        dist.barrier()  # so that no process reads the checkpoint before it is written


def _log(folder: Path, name: str, step: int, loss: float, seconds: float) -> None:
    entry = {"step": step, "loss": round(loss, 5), "seconds": round(seconds, 1)}
    path = folder / f"{name}.jsonl"
    with storing(path, KEPT), path.open("a") as log:
        log.write(json.dumps(entry) + "\n")


def _preview(stage: Stage, optimizer: Optimizer, folder: Path, step: int) -> None:
    if stage.preview is not None:
        samples = folder / f"{stage.name}-samples"
        with storing(samples, KEPT):
            samples.mkdir(exist_ok=True)
            stage.preview(optimizer.averaged(), samples / f"{step:06d}.png")


def _schedule(step: int, progress: float) -> float:
    """Return the share of the peak learning rate in a step."""
    return min(1.0, (step + 1) / WARMUP, (1 - progress) / DECAY)
