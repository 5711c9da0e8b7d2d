"""An observer that keeps queries at random positions, in chosen denoiser calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.errors import CoverageError

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.models.layers import Layer
    from hrvlab.reservoir.groups import LayerGroup


class SampledQueries:
    """The queries of every head at random positions, in some denoiser calls of each sample.

    Parameters
    ----------
    groups : sequence of LayerGroup
    calls : ndarray of int, shape (sample, timestep)
        The calls of each sample that are kept.
    draw : callable (sample, call, LayerGroup) -> ndarray of int, shape (layer, head, position)
        Draws the positions that are kept.
    """

    def __init__(
        self,
        groups: Sequence[LayerGroup],
        calls: NDArray[np.int64],
        draw: Callable[[int, int, LayerGroup], NDArray[np.int64]],
    ) -> None:
        self._groups, self._calls, self._draw = groups, calls, draw
        self._place = {
            layer: (group, number) for group in groups for number, layer in enumerate(group.layers)
        }

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._made = 0
        self._call = -1
        self._kept: dict[tuple[int, int, int], list[Tensor]] = {}
        self._wanted: list[tuple[int, int]] = []
        self._positions: dict[int, Tensor] = {}

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Keep the queries of the samples whose call this is."""
        if call.index != self._call:
            self._call = call.index
            self._made += 1
            self._wanted = list(zip(*map(list, np.nonzero(self._calls == call.index)), strict=True))
            self._positions = {}
        if not self._wanted:
            return
        group, number = self._place[layer.index]
        if query.shape[1] != group.positions:
            raise CoverageError(
                f"{layer.module} has {query.shape[1]} positions, {group.positions} were expected "
                "from the size of the images; give the height and width that the run makes, or "
                "use_resolution_binning=False"
            )
        if group.number not in self._positions:
            drawn = np.stack([self._draw(s, call.index, group) for s, _ in self._wanted])
            self._positions[group.number] = torch.from_numpy(drawn).to(query.device)
        own = query.detach()[call.conditional][[sample for sample, _ in self._wanted]]
        heads = own.unflatten(-1, (group.heads, group.channels)).transpose(1, 2)
        chosen = self._positions[group.number][:, number, ..., None]
        kept = heads.gather(2, chosen.expand(-1, -1, -1, group.channels)).half()
        for (sample, timestep), queries in zip(self._wanted, kept, strict=True):
            self._kept.setdefault((group.number, sample, timestep), []).append(queries)

    def result(self) -> dict[str, NDArray[np.float16]]:
        """Return the queries by the names of the groups' arrays.

        Returns
        -------
        dict of str to ndarray of float16, shape (sample, timestep, layer, head, position, channel)

        Raises
        ------
        CoverageError
            If calls were not made, or a query is not finite in float16.
        """
        samples, timesteps = self._calls.shape
        if self._made <= self._calls.max():
            raise CoverageError(
                f"the run made {self._made} denoiser calls, call {self._calls.max()} was to be "
                "kept; give calls that the run makes"
            )
        arrays = {}
        for group in self._groups:
            rows = [
                torch.stack(self._kept[group.number, sample, timestep])
                for sample in range(samples)
                for timestep in range(timesteps)
            ]
            queries = torch.stack(rows).unflatten(0, (samples, timesteps)).cpu().numpy()
            if not np.isfinite(queries).all():
                raise CoverageError(
                    "a query is NaN, or too large for float16, in which pools are kept; load the "
                    "model in float32 or bfloat16"
                )
            arrays[group.queries] = queries
        return arrays
