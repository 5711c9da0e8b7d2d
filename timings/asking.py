"""What a pool of queries costs, and how long its answers take, also at SDXL's size."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import UNet2DConditionModel
from torch import device

import hrvlab as hl
from hrvlab.models.heads import cross_attention_layers, head_table
from hrvlab.reservoir.groups import LayerGroup, arrays, as_text
from hrvlab.reservoir.keymaps import add_maps
from hrvlab.storage.datasets import write_dataset
from hrvlab.storage.shards import ShardLedger
from hrvlab.storage.units import DATA
from timings.clocks import in_turn, resident, seconds
from timings.pools import RUNS
from timings.tables import SDXL

CONCEPT = {
    "Ten": ["gold", "metal", "glass", "stone", "wood", "brick", "key", "clock", "cup", "bow"]
}
RECORDED, ASKED = 16, 256  # prompts, when recording is timed, and asking
FEW = 8  # steps of the pool that is asked, all calls of which are kept


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Time recording against generating, and a new concept against collecting votes."""
    prompts = hl.read_prompts("miniature")
    asked = prompts[: 8 if quick else ASKED]
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) if quick else RUNS
        call = {"num_inference_steps": 4 if quick else 50, "progress": False}
        pipe, concepts = hl.load("miniature", device="cpu"), hl.ConceptSet.read("miniature")
        few = prompts[: 2 if quick else RECORDED]
        given = {"vocabulary": [word for own in concepts.words for word in own]}

        def recording() -> float:
            with tempfile.TemporaryDirectory() as new:
                return seconds(lambda: hl.record_queries(pipe, few, store=new, **given, **call))

        measured = in_turn(
            {
                "plain": lambda: seconds(lambda: hl.generate(pipe, few, **call)),
                "recorded": recording,
                "votes": lambda: seconds(lambda: hl.collect_votes(pipe, concepts, few, **call)),
            },
            rounds,
            "recording",
        )
        short = {**given, **call, "num_inference_steps": FEW}
        pool = hl.record_queries(pipe, asked, store=store / "asked", **short)
        answer = {"asked": lambda: seconds(lambda: ask(pool.folder, concepts))}
        sizes = {"prompts": len(few), "asked_prompts": len(asked)}
        return {**sizes, **measured, **in_turn(answer, rounds, "asking")}


def measure_large(rounds: int, quick: bool) -> dict[str, Any]:
    """Ask a pool of SDXL's size in a process of its own."""
    prompts, layers = ("8", "2") if quick else ("256", "60")
    program = [sys.executable, "-m", "timings.asking"]
    with tempfile.TemporaryDirectory() as scratch:
        write = [*program, "write", scratch, prompts, layers]
        folder = subprocess.run(write, check=True, capture_output=True, text=True).stdout
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        answers = [
            subprocess.run(
                [*program, "ask", folder], check=True, capture_output=True, text=True
            ).stdout.split()
            for _ in range(min(rounds, 2))
        ]
    return {
        "bytes": size,
        "seconds": [float(took) for took, _ in answers],
        "memory": max(int(memory) for _, memory in answers),
    }


def ask(folder: Path, against: hl.ConceptSet) -> xr.DataArray:
    """Open a pool and ask for a new concept of ten words."""
    return hl.open_pool(folder).relevance(CONCEPT, against=against)


def large_pool(folder: Path, prompts: int, layers: int) -> Path:
    """Write a pool of SDXL's shape with random numbers, and so many layers of 1024 positions."""
    with device("meta"):
        unet = UNet2DConditionModel(**SDXL)
    found = cross_attention_layers(unet)
    small = [layer for layer in found if layer.heads == 20][:layers]
    wide = [layer for layer in found if layer.heads == 10]
    groups = [
        LayerGroup(
            number,
            tuple(layer.index for layer in own),
            tuple(layer.start for layer in own),
            own[0].heads,
            64,
            own[0].grid ** 2,
            16,
        )
        for number, own in enumerate((wide, small))
    ]
    rng = np.random.default_rng(0)
    growing = arrays(groups, prompts=prompts, calls=4, rows=8)
    ledger = ShardLedger(folder, {"kind": "queries", "prompts": prompts}, growing, 8)
    ledger.begin()
    # The same numbers in every unit: to draw them takes longer than to write them.
    queries = {
        name: rng.standard_normal((8, *array.shape[1:]), np.float32).astype(np.float16)
        for name, array in growing.items()
    }
    for unit in range(prompts // 8):
        ledger.finish(unit, **queries)
    concepts = hl.shipped_concepts()
    words = list(dict.fromkeys([w for own in concepts.words for w in own] + CONCEPT["Ten"]))
    tokens = 1 + (np.arange(len(words)) % 5 == 0)
    data = xr.Dataset(
        {
            "call": (("prompt", "timestep"), np.zeros((prompts, 4), np.int32)),
            "states": (("row", "state"), rng.standard_normal((1 + tokens.sum(), 2048), np.float32)),
            "tokens": ("word", tokens),
            "scale": ("model_layer", np.full(len(found), 0.125, np.float32)),
        },
        coords={
            **head_table(unet).coords,
            "word": words,
            "known": ("word", np.ones(len(words), bool)),
            "prompt_text": ("prompt", ["a red car"] * prompts),
        },
        attrs={"schema": "reservoir", "seed": 0, "groups": as_text(groups), "how": "{}"},
    )
    data["states"] = data["states"].astype(np.float16)
    data.attrs["norms"] = '[{"kind": "none", "eps": 0.0}, {"kind": "none", "eps": 0.0}]'
    for group in groups:
        width, count = group.heads * group.channels, len(group.layers)
        projection = rng.standard_normal((count, 2048, width), np.float32) / 45
        maps = {
            "projection": projection.astype(np.float16),
            "bias": np.zeros((count, width), np.float32),
            "norm": np.ones((count, 2, width), np.float32),
        }
        add_maps(data, group, maps)
    write_dataset(data, ledger.folder / DATA)
    return ledger.folder


if __name__ == "__main__":
    what, path, *size = sys.argv[1:]
    if what == "write":
        sys.stdout.write(str(large_pool(Path(path), *map(int, size))))
    else:
        took = seconds(lambda: ask(Path(path), hl.shipped_concepts()))
        sys.stdout.write(f"{took} {resident()}")
