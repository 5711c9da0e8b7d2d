"""Layers of a pool that are alike, so that their queries are one array."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hrvlab.storage.shards import Growing

QUERIES = "queries"
CHUNK = 2**20  # values of queries that are read together, where layers are small


@dataclass(frozen=True)
class LayerGroup:
    """Layers with as many heads, channels of a head, and positions.

    Parameters
    ----------
    number : int
        Among the groups of the pool.
    layers : tuple of int
        Their numbers in forward order.
    starts : tuple of int
        Head position of each layer's first head.
    heads, channels : int
        Of each layer, and of each head.
    positions : int
        Of the grid.
    kept : int
        Positions that are kept of each head.
    """

    number: int
    layers: tuple[int, ...]
    starts: tuple[int, ...]
    heads: int
    channels: int
    positions: int
    kept: int

    @property
    def queries(self) -> str:
        """Name of the array of queries."""
        return f"{QUERIES}_{self.number}"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Layers, heads, kept positions and channels."""
        return (len(self.layers), self.heads, self.kept, self.channels)


def as_text(groups: Sequence[LayerGroup]) -> str:
    """Return groups as JSON, for an attribute."""
    return json.dumps([asdict(group) for group in groups])


def from_text(text: str) -> list[LayerGroup]:
    """Return groups from their JSON."""
    return [
        LayerGroup(**{**one, "layers": tuple(one["layers"]), "starts": tuple(one["starts"])})
        for one in json.loads(text)
    ]


def arrays(
    groups: Sequence[LayerGroup], *, prompts: int, calls: int, rows: int
) -> dict[str, Growing]:
    """Describe the arrays of a pool's queries.

    Parameters
    ----------
    groups : sequence of LayerGroup
    prompts : int
    calls : int
        Denoiser calls that are kept of each prompt.
    rows : int
        Prompts that are recorded together; at most as many as there are.

    Returns
    -------
    dict of str to Growing
        float16, dims ``(prompt, timestep, layer, head, position, channel)``, the last four numbered
        by the group.
    """
    # Imported here because asking about layers need not wait for zarr.
    from hrvlab.storage.shards import Growing

    described = {}
    for group in groups:
        dims = [f"{dim}_{group.number}" for dim in ("layer", "head", "position", "channel")]
        # A few layers are read at once, of all prompts that were recorded together.
        of_layer = rows * calls * math.prod(group.shape[1:])
        layers = max(n for n in _divisors(len(group.layers)) if n == 1 or n * of_layer <= CHUNK)
        chunks = (rows, calls, layers, *group.shape[1:])
        described[group.queries] = Growing(
            ("prompt", "timestep", *dims), (prompts, calls, *group.shape), "float16", chunks
        )
    return described


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
