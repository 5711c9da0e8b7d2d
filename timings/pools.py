"""How near pools of several sizes are to full votes, and how often their intervals cover them.

Votes and pools are kept in ``runs/timings``, so that a measurement that was stopped goes on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import hrvlab as hl
from hrvlab.relevance.vectors import normalize
from hrvlab.reservoir.asking import cast_votes
from hrvlab.reservoir.draws import draw_calls
from hrvlab.reservoir.estimates import Estimate, estimate_relevance
from hrvlab.reservoir.groups import LayerGroup
from hrvlab.reservoir.pool import Pool
from hrvlab.reservoir.questions import words_of
from hrvlab.statistics import correlation
from hrvlab.storage.shards import Shards

RUNS = Path("runs/timings")
CALLS, POSITIONS = (4, 8, 16, 50), (4, 16)


def measure(_rounds: int, quick: bool) -> dict[str, Any]:
    """Compare pools of several sizes with full votes; nothing is timed."""
    prompts = hl.read_prompts("miniature")[: 8 if quick else 256]
    call = {"num_inference_steps": 4 if quick else 50, "progress": False}
    with tempfile.TemporaryDirectory() as scratch:
        return fidelity(prompts, Path(scratch) if quick else RUNS, call)


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
    return {"prompts": len(prompts), "concepts": list(concepts.names), "pools": found}


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
