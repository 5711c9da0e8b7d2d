"""Peak memory of collecting votes, for each number of prompts in a separate process."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import hrvlab as hl
from timings.clocks import resident

PROMPTS = (16, 256)


def measure(rounds: int, quick: bool) -> dict[str, int]:
    """Measure the peak memory in bytes for few and for many prompts; one round tells it."""
    return {str(number): _in_own_process(number // (8 if quick else 1)) for number in PROMPTS}


def _in_own_process(prompts: int) -> int:
    command = [sys.executable, "-m", "timings.memory", str(prompts)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_of_votes(prompts: int) -> int:
    """Collect votes into a store and return this process's peak memory in bytes."""
    texts = (hl.read_prompts("miniature") * prompts)[:prompts]
    with tempfile.TemporaryDirectory() as store:
        hl.collect_votes(
            hl.load("miniature"),
            hl.ConceptSet.read("miniature"),
            texts,
            num_inference_steps=2,
            store=store,
            progress=False,
        )
    return resident()


if __name__ == "__main__":
    sys.stdout.write(str(peak_of_votes(int(sys.argv[1]))))
