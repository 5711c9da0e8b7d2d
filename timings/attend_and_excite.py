"""Time and memory of one image with Attend-and-Excite, against plain generation.

Every method runs in a separate process, so that peak memory is its own. Seconds are those of the
last of several images; the peak is read after each, which shows whether memory grows.
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
from hrvlab.methods.excitation import Excitation

PROMPT, WORDS = "a cat and a car", ["cat", "car"]
METHODS = {
    "plain": None,
    "A&E": Excitation(side=1, layers="side", leave_out_last=True, step_size=10),
    "r ≡ 1, all layers": Excitation(side=1, step_size=10),
}
MIB = 1024  # Linux reports the peak in KiB


def measure(method: str, steps: int, images: int) -> None:
    """Generate images one after the other, and write what each took to stdout as JSON."""
    pipe = hl.load("miniature", device="cpu")
    preset = METHODS[method]
    report = []
    for seed in range(images):
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
    images: Annotated[int, typer.Option(help="Images generated one after the other.")] = 4,
    method: Annotated[
        str | None, typer.Option(help="Measure only this method, and write JSON.")
    ] = None,
) -> None:
    """Measure every method on the miniature."""
    if method is not None:
        measure(method, steps, images)
        return
    table = Table(
        "method",
        "passes",
        "seconds",
        "peak MiB after the first",
        "after the last",
        title=f"one image of the miniature, {steps} steps",
    )
    for name in METHODS:
        command = [sys.executable, __file__, f"--steps={steps}", f"--images={images}"]
        done = subprocess.run([*command, f"--method={name}"], check=True, capture_output=True)
        report = json.loads(done.stdout)
        first, last = report[0], report[-1]
        cells = [f"{last['seconds']:.2f}", f"{first['peak']:.0f}", f"{last['peak']:.0f}"]
        table.add_row(name, str(last["passes"]), *cells)
    Console().print(table)
    Console().print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    typer.run(main)
