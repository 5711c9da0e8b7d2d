"""What starting costs: CPU seconds of whole processes, and wall time on a busy machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

COMMANDS = ("run", "book", "capture", "votes", "verify", "results", "check-results", "model")
MISTAKES = {
    "an unknown chapter": ["run", "nosuch"],
    "an unknown parameter": ["run", "capture", "-p", "nosuch=1"],
    "an unknown list of prompts": ["votes", "-o", "none", "--prompts", "nosuch"],
    "an unknown model": ["capture", "-o", "none", "--prompt", "a car", "--model", "nosuch"],
    "an unknown study": ["results", "nosuch"],
}
HRVLAB = "from hrvlab.cli import main; main()"
FIRST_IMAGE = """
pipe = {load}
pipe.set_progress_bar_config(disable=True)
pipe("a red car", num_inference_steps=20)
"""
PLAIN = "from diffusers import DiffusionPipeline\n" + FIRST_IMAGE.format(
    load="DiffusionPipeline.from_pretrained({folder!r}, use_safetensors=True)"
)
OURS = "import hrvlab as hl\n" + FIRST_IMAGE.format(load="hl.load('miniature')")
FOUR_IMAGES = """
import sys, time
import hrvlab as hl
pipe = hl.load("miniature", device="cpu")
hl.generate(pipe, "a red car", num_inference_steps=1)
start = time.perf_counter()
hl.generate(pipe, "a red car", seed=[0, 1, 2, 3], num_inference_steps=10)
sys.stdout.write(str(time.perf_counter() - start))
"""
SPIN = "while True: pass"


def measure(rounds: int, quick: bool) -> dict[str, dict[str, list[float]]]:
    """Measure CPU seconds of processes in turn, and wall seconds beside another process."""
    from hrvlab.paths import MINIATURE, data_path

    works = {
        "import xarray": ["-c", "import xarray"],
        "import hrvlab": ["-c", "import hrvlab"],
        "hrvlab --help": ["-c", HRVLAB, "--help"],
    }
    if not quick:
        works |= {f"hrvlab {name} --help": ["-c", HRVLAB, name, "--help"] for name in COMMANDS}
        works |= {name: ["-c", HRVLAB, *given] for name, given in MISTAKES.items()}
        works |= {
            "diffusers alone: load the miniature, first image": [
                "-c",
                PLAIN.format(folder=str(data_path(MINIATURE))),
            ],
            "hrvlab: load the miniature, first image": ["-c", OURS],
        }
    measured: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, arguments in works.items():
            measured[name].append(_cpu_seconds(arguments))
    policies = [] if quick else ["ACTIVE", "PASSIVE"]
    # Spinning takes a minute each time, and says the same.
    busy = {policy: [_beside_another(policy) for _ in range(2)] for policy in policies}
    return {"cpu_seconds": measured, "busy_seconds": busy}


def _cpu_seconds(arguments: Sequence[str]) -> float:
    """Run Python and return the CPU seconds of that process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, *arguments]
        where = folder if "nosuch" not in arguments else None
        subprocess.run(command, cwd=where, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _beside_another(policy: str) -> float:
    """Return the wall seconds of four images while another process keeps one core busy."""
    other = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        time.sleep(0.2)
        environment = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": "2"}
        command = [sys.executable, "-c", FOUR_IMAGES]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        other.kill()
    return float(done.stdout)
