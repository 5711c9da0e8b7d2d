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

# The numbers of samples, and of their calls.
Wanted = tuple[NDArray[np.int64], ...]


class SampledQueries:
    """The queries of every head at random positions, in some denoiser calls of each sample.

    Parameters
    ----------
    groups : sequence of LayerGroup
    calls : ndarray of int, shape (sample, timestep)
        The calls of each sample that are kept.
    draw : callable (samples, call, LayerGroup) -> ndarray of int
        Draws the positions that are kept, shape (sample, layer, head, position).
    """

    def __init__(
        self,
        groups: Sequence[LayerGroup],
        calls: NDArray[np.int64],
        draw: Callable[[NDArray[np.int64], int, LayerGroup], NDArray[np.int64]],
    ) -> None:
        self._groups, self._calls, self._draw = groups, calls, draw
        self._place = {
            layer: (group, number) for group in groups for number, layer in enumerate(group.layers)
        }

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty record."""
        self._made = 0
        self._call = -1
        # For each call that is kept: its samples, which of their calls it is, and layers' queries.
        self._kept: list[tuple[Wanted, dict[int, Tensor]]] = []
        self._wanted: Wanted = (self._calls[:0, 0], self._calls[:0, 0])
        self._positions: dict[int, Tensor] = {}

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Keep the queries of the samples whose call this is."""
        if call.index != self._call:
            self._begin_call(call, query.device)
        samples, _ = self._wanted
        if not len(samples):
            return
        group, number = self._place[layer.index]
        if query.shape[1] != group.positions:
            raise CoverageError(
                f"{layer.module} has {query.shape[1]} positions, {group.positions} were expected "
                "from the size of the images; give the height and width that the run makes, or "
                "use_resolution_binning=False"
            )
        own = query.detach().index_select(0, self._rows)
        heads = own.unflatten(-1, (group.heads, group.channels)).transpose(1, 2)
        if group.kept < group.positions:
            if group.number not in self._positions:
                drawn = self._draw(samples, call.index, group)
                self._positions[group.number] = torch.from_numpy(drawn).to(query.device)
            chosen = self._positions[group.number][:, number, ..., None]
            heads = heads.gather(2, chosen.expand(-1, -1, -1, group.channels))
        self._kept[-1][1][layer.index] = heads.half()

    def _begin_call(self, call: Call, device: torch.device) -> None:
        self._call = call.index
        self._made += 1
        self._wanted = np.nonzero(self._calls == call.index)
        self._positions = {}
        if len(self._wanted[0]):
            self._kept.append((self._wanted, {}))
            self._rows = torch.from_numpy(call.conditional.start + self._wanted[0]).to(device)

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
        arrays = {
            group.queries: np.empty((samples, timesteps, *group.shape), np.float16)
            for group in self._groups
        }
        for wanted, of_layers in self._kept:
            for group in self._groups:
                own = torch.stack([of_layers[layer] for layer in group.layers], dim=1)
                arrays[group.queries][wanted] = own.cpu().numpy()
        if not all(np.isfinite(queries).all() for queries in arrays.values()):
            raise CoverageError(
                "a query is NaN, or too large for float16, in which pools are kept; load the "
                "model in float32 or bfloat16"
            )
        return arrays
