"""What Attend-and-Excite costs: time and memory of one picture, against plain drawing.

Every way is run in a process of its own, whose peak memory is its own; seconds are of the last of
several pictures, and the peak is read after every one, so that it shows whether memory grows.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

import hrvlab as hl
from hrvlab.experiments.excitation import Excitation

PROMPT, WORDS = "a cat and a car", ["cat", "car"]
WAYS = {
    "plain": None,
    "A&E": Excitation(side=1, layers="side", leave_out_last=True, step_size=10),
    "r ≡ 1, all layers": Excitation(side=1, step_size=10),
}
MIB = 1024  # Linux tells the peak in KiB


def draw(way: str, steps: int, pictures: int) -> None:
    """Draw some pictures, one after the other, and write what each took as JSON."""
    pipe = hl.load("miniature", device="cpu")
    preset = WAYS[way]
    report = []
    for seed in range(pictures):
        start = time.perf_counter()
        passes = 0
        if preset is None:
            hl.generate(pipe, PROMPT, seed=seed, num_inference_steps=steps, progress=False)
        else:
            excited = hl.excite(
                pipe, PROMPT, WORDS, preset=preset, seed=seed, num_inference_steps=steps
            )
            passes = int(excited.passes[0])
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
        report.append({"seconds": seconds, "passes": passes, "peak": peak})
    sys.stdout.write(json.dumps(report))


def main(
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 20,
    pictures: Annotated[int, typer.Option(help="Pictures drawn one after the other.")] = 4,
    way: Annotated[str | None, typer.Option(help="Draw in this way only, for JSON.")] = None,
) -> None:
    """Measure every way on the miniature."""
    if way is not None:
        draw(way, steps, pictures)
        return
    table = Table(
        "drawing",
        "passes",
        "seconds",
        "peak MiB after the first",
        "after the last",
        title=f"one picture of the miniature, {steps} steps",
    )
    for name in WAYS:
        command = [sys.executable, __file__, f"--steps={steps}", f"--pictures={pictures}"]
        done = subprocess.run([*command, f"--way={name}"], check=True, capture_output=True)
        report = json.loads(done.stdout)
        first, last = report[0], report[-1]
        cells = [f"{last['seconds']:.2f}", f"{first['peak']:.0f}", f"{last['peak']:.0f}"]
        table.add_row(name, str(last["passes"]), *cells)
    Console().print(table)
    Console().print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    typer.run(main)
