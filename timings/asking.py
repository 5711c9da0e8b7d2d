"""What a pool of queries costs, how long its answers take, and how near they are to full votes.

Votes and pools are kept in ``runs/timings``, so that a measurement that was stopped goes on.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import UNet2DConditionModel
from torch import device

import hrvlab as hl
from hrvlab.models.heads import cross_attention_layers, head_table
from hrvlab.relevance.vectors import normalize
from hrvlab.reservoir.asking import cast_votes
from hrvlab.reservoir.draws import draw_calls
from hrvlab.reservoir.estimates import Estimate, estimate_relevance
from hrvlab.reservoir.groups import LayerGroup, arrays, as_text
from hrvlab.reservoir.pool import Pool
from hrvlab.reservoir.questions import words_of
from hrvlab.statistics import correlation
from hrvlab.storage.datasets import write_dataset
from hrvlab.storage.shards import ShardLedger, Shards
from hrvlab.storage.units import DATA
from timings.clocks import in_turn, resident, seconds
from timings.tables import SDXL

RUNS = Path("runs/timings")
CONCEPT = {
    "Ten": ["gold", "metal", "glass", "stone", "wood", "brick", "key", "clock", "cup", "bow"]
}
CALLS, POSITIONS = (4, 8, 16, 50), (4, 16)
RECORDED = 32  # prompts, when recording is timed


def measure(rounds: int, quick: bool) -> dict[str, Any]:
    """Measure speed in turn, the fidelity of pools of several sizes, and a pool of SDXL's size."""
    prompts = hl.read_prompts("miniature")[: 8 if quick else 256]
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) if quick else RUNS
        call = {"num_inference_steps": 4 if quick else 50, "progress": False}
        large = ["8", "2"] if quick else ["256", "60"]
        own = [sys.executable, "-m", "timings.asking", *large]
        done = subprocess.run(own, check=True, capture_output=True, text=True)
        took, memory = done.stdout.split()
        return {
            "prompts": len(prompts),
            "speed": speed(prompts, store, rounds, call),
            "fidelity": fidelity(prompts, store, call),
            "sdxl": {"seconds": float(took), "memory": int(memory)},
        }


def speed(prompts: list[str], store: Path, rounds: int, call: dict[str, Any]) -> dict[str, Any]:
    """Time recording against generating, and a new concept against collecting votes."""
    pipe, concepts = hl.load("miniature", device="cpu"), hl.ConceptSet.read("miniature")
    few = prompts[:RECORDED]
    given = {"vocabulary": [word for own in concepts.words for word in own], **call}

    def recording() -> float:
        with tempfile.TemporaryDirectory() as scratch:
            return seconds(lambda: hl.record_queries(pipe, few, store=scratch, **given))

    measured = in_turn(
        {
            "plain": lambda: seconds(lambda: hl.generate(pipe, few, **call)),
            "recorded": recording,
            "votes": lambda: seconds(lambda: hl.collect_votes(pipe, concepts, few, **call)),
        },
        rounds,
        "recording",
    )
    folder = hl.record_queries(pipe, prompts, store=store / "pool", **given).folder
    asked = in_turn({"asked": lambda: seconds(lambda: ask(folder, concepts))}, rounds, "asking")
    return {"recorded_prompts": len(few), **measured, **asked}


def ask(folder: Path, against: hl.ConceptSet) -> xr.DataArray:
    """Open a pool and ask for a new concept of ten words."""
    return hl.open_pool(folder).relevance(CONCEPT, against=against)


@dataclass(frozen=True)
class Thinned:
    """What a smaller pool of the same run would hold, in memory.

    Parameters
    ----------
    queries : dict of str to ndarray
    rows : int
        Prompts of a batch.
    """

    queries: dict[str, np.ndarray]
    rows: int

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return self.queries[name].shape

    def units(self, name: str) -> Iterator[slice]:
        """Iterate over the rows of an array, batch by batch."""
        total = len(self.queries[name])
        for first in range(0, total, self.rows):
            yield slice(first, min(first + self.rows, total))

    def read(self, name: str, *index: slice | int) -> np.ndarray:
        """Read a part of an array."""
        return self.queries[name][index]


def thin(pool: Pool, calls: int, positions: int) -> tuple[list[LayerGroup], Thinned]:
    """Keep so many calls of every prompt, and positions of every head, of a pool of all calls."""
    shards, total, seed = Shards(pool.folder), pool.data.sizes["timestep"], pool.data.attrs["seed"]
    rng = np.random.default_rng(0)
    groups, queries = [], {}
    for group in pool.groups:
        every = shards.read(group.queries)
        chosen = np.stack([draw_calls(seed, p, total, calls) for p in range(len(every))])
        kept = min(group.kept, positions)
        groups.append(replace(group, kept=kept))
        own = np.take_along_axis(every, chosen[:, :, None, None, None, None], axis=1)
        if kept < group.kept == group.positions:  # kept in their order
            order = rng.random(own.shape[:-1]).argsort(axis=-1)
            own = np.take_along_axis(own, order[..., None], axis=-2)
        queries[group.queries] = own[..., :kept, :]
    return groups, Thinned(queries, next(iter(shards.units(groups[0].queries))).stop)


def fidelity(prompts: list[str], store: Path, call: dict[str, Any]) -> dict[str, Any]:
    """Compare pools of several sizes with full votes of the same prompts, and those with others."""
    pipe, concepts = hl.load("miniature", device="cpu"), hl.ConceptSet.read("miniature")
    votes = [
        hl.collect_votes(pipe, concepts, prompts, store=store / "votes", seed=seed, **call)
        for seed in (0, 1, 2)
    ]
    full, *others = (normalize(one["votes_by_prompt"].sum("prompt").values) for one in votes)
    names = [word for own in concepts.words for word in own]
    given = {"vocabulary": names, "positions": max(POSITIONS), **call}
    pool = hl.record_queries(pipe, prompts, store=store / "whole", calls=None, **given)
    grids = np.concatenate([np.full(len(g.layers) * g.heads, g.positions) for g in pool.groups])[
        np.argsort(np.concatenate([positions_of(g) for g in pool.groups]))
    ]
    found = {}
    for calls in CALLS:
        for positions in POSITIONS:
            sampled = grids > positions
            groups, thinned = thin(pool, min(calls, pool.data.sizes["timestep"]), positions)
            estimate = estimated(pool, concepts, groups, thinned)
            covered = (estimate.low <= full) & (full <= estimate.high)
            half_widths = (estimate.high - estimate.low) / 2
            found[f"{calls} calls, {positions} positions"] = {
                "bytes": sum(one.nbytes for one in thinned.queries.values()),
                "correlation": correlation(estimate.value[:, sampled], full[:, sampled]).tolist(),
                "ceiling": [
                    correlation(other[:, sampled], full[:, sampled]).tolist() for other in others
                ],
                "covered": float(covered[:, sampled].mean()),
                "half_width": float(np.median(half_widths[:, sampled])),
            }
    return {"concepts": list(concepts.names), "pools": found}


def positions_of(group: LayerGroup) -> np.ndarray:
    """List the head positions of a group's heads, layer by layer."""
    return np.concatenate([np.arange(start, start + group.heads) for start in group.starts])


def estimated(
    pool: Pool, concepts: hl.ConceptSet, groups: list[LayerGroup], shards: Thinned
) -> Estimate:
    """Estimate relevance from a thinned pool."""
    numbers = range(len(concepts.names))
    votes = cast_votes(
        shards,
        groups,
        pool.key_maps,
        words_of(pool.data, concepts, pool.pipe),
        numbers,
        seed=int(pool.data.attrs["seed"]),
        head_positions=pool.data.sizes["head_position"],
    )
    return estimate_relevance(votes, timesteps=shards.shape(groups[0].queries)[1])


def large_pool(folder: Path, prompts: int, layers: int) -> Path:
    """Write a pool of SDXL's shape with random numbers, and as many layers of 1024 positions."""
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
    for unit in range(prompts // 8):
        ledger.finish(
            unit,
            **{
                name: rng.standard_normal((8, *array.shape[1:]), np.float32).astype(np.float16)
                for name, array in growing.items()
            },
        )
    concepts = hl.shipped_concepts()
    words = list(dict.fromkeys([w for own in concepts.words for w in own] + CONCEPT["Ten"]))
    tokens = 1 + (np.arange(len(words)) % 5 == 0)
    dims = {"projection": ("state",), "bias": (), "norm": ("norm_part",)}
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
        width = group.heads * group.channels
        for name, own in dims.items():
            inner = {"projection": (2048, width), "bias": (width,), "norm": (2, width)}[name]
            values = rng.standard_normal((len(group.layers), *inner), np.float32) / 45
            shape = (f"layer_{group.number}", *own, f"key_channel_{group.number}")
            kind = np.float16 if name == "projection" else np.float32
            data[f"{name}_{group.number}"] = shape, values.astype(kind)
    write_dataset(data, ledger.folder / DATA)
    return ledger.folder


def main(prompts: int, layers: int) -> None:
    """Ask a pool of SDXL's size in a process of its own; write seconds and peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        write = [
            sys.executable,
            "-m",
            "timings.asking",
            "write",
            scratch,
            str(prompts),
            str(layers),
        ]
        folder = Path(subprocess.run(write, check=True, capture_output=True, text=True).stdout)
        ask_all = [sys.executable, "-m", "timings.asking", "ask", str(folder)]
        done = subprocess.run(ask_all, check=True, capture_output=True, text=True)
        sys.stdout.write(done.stdout)


if __name__ == "__main__":
    first, *rest = sys.argv[1:]
    if first == "write":
        sys.stdout.write(str(large_pool(Path(rest[0]), int(rest[1]), int(rest[2]))))
    elif first == "ask":
        took = seconds(lambda: ask(Path(rest[0]), hl.shipped_concepts()))
        sys.stdout.write(f"{took} {resident()}")
    else:
        main(int(first), int(rest[0]))
