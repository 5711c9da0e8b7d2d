"""What hrvlab's work costs, as ratios against plain generation in the same run.

Every way of drawing is timed in turn, round after round, so that a machine whose speed drifts
favours none of them; the table gives medians over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import hrvlab as hl
from hrvlab.models.heads import cross_attention_layers
from tests.attention.oracle import explicit

PROMPT = "a red car"
WORD_COLUMNS = slice(1, 4)
WEAKER = -2.0


def main(
    rounds: Annotated[int, typer.Option(help="How often each way is timed.")] = 5,
    batch: Annotated[int, typer.Option(help="Pictures drawn together.")] = 16,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
) -> None:
    """Time every way of drawing on the miniature, in turn."""
    pipe, naive = hl.load("miniature"), hl.load("miniature")
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    orders = np.stack([np.random.default_rng(i).permutation(heads) for i in range(batch)])
    weakened = np.where(orders < heads // 2, WEAKER, 1.0)
    layers = cross_attention_layers(naive.unet)
    explicit(naive, layers, [change(weakened[0, layer.head_positions]) for layer in layers])
    settings = {"num_inference_steps": steps, "batch_size": batch}
    together = [PROMPT] * batch
    one = hl.Rescale(np.full(heads, 2.0), words="red")
    each = hl.Rescale(weakened)

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "plain, alone": (lambda: hl.generate(pipe, PROMPT, **settings), 1),
        "plain": (lambda: hl.generate(pipe, together, **settings), batch),
        "captured": (lambda: hl.capture(pipe, together, progress=False, **settings), batch),
        "one word strengthened": (
            lambda: hl.generate(pipe, together, edit=one, **settings),
            batch,
        ),
        "weakened, each picture otherwise": (
            lambda: hl.generate(pipe, together, edit=each, **settings),
            batch,
        ),
        "weakened by explicit maps, alone": (lambda: hl.generate(naive, PROMPT, **settings), 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in tqdm(range(rounds + 1), "rounds"):
        for name, (draw, pictures) in ways.items():
            start = time.perf_counter()
            draw()
            seconds[name].append((time.perf_counter() - start) / pictures)
    table = Table(
        "drawing", "seconds a picture", "times plain", title=f"{steps} steps, batches of {batch}"
    )
    for name, times in seconds.items():
        # The first round warms up.
        ratios = np.array(times[1:]) / np.array(seconds["plain"][1:])
        table.add_row(name, f"{np.median(times[1:]):.3f}", f"{np.median(ratios):.2f}")
    Console().print(table)
    Console().print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


def change(factors: np.ndarray) -> Callable[[torch.Tensor], torch.Tensor]:
    """Multiply the words' columns of a layer's conditional maps by its heads' factors."""
    scale = torch.from_numpy(factors).float()[:, None, None]

    def multiply(maps: torch.Tensor) -> torch.Tensor:
        changed = maps.clone()
        half = len(maps) // 2
        changed[half:, :, :, WORD_COLUMNS] *= scale
        return changed

    return multiply


if __name__ == "__main__":
    typer.run(main)
