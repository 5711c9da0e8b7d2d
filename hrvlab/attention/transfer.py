"""Tensors that taps keep: moved to the host call by call, without waiting for an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Key = tuple[int, int]


class Transfer:
    """What a tap keeps of a generation.

    The tensors of one call are moved together when the next call begins; only `result` waits for
    them.
    """

    def __init__(self) -> None:
        self._call = -1
        self._own: dict[Key, Tensor] = {}
        self._moved: list[tuple[list[Key], list[Tensor]]] = []
        self._devices: set[torch.device] = set()

    def keep(self, call: int, layer: int, values: Tensor) -> None:
        """Keep a tensor of a call.

        Parameters
        ----------
        call : int
        layer : int
            The layer's index; `result` has it by call and layer.
        values : Tensor
        """
        if call != self._call:
            self._move()
            self._call = call
        self._own[call, layer] = values

    def _move(self) -> None:
        """Begin to move the tensors of a call."""
        for device in dict.fromkeys(values.device for values in self._own.values()):
            keys = [key for key, values in self._own.items() if values.device == device]
            shapes = [self._own[key].shape for key in keys]
            flat = torch.cat([self._own[key].flatten() for key in keys])
            # PyTorch moves it into pinned memory, which may be read once the device has finished.
            host = flat.to("cpu", non_blocking=True)
            parts = host.split([shape.numel() for shape in shapes])
            views = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
            self._moved.append((keys, views))
            self._devices.add(device)
        self._own = {}

    def result(self) -> dict[Key, NDArray[np.float32]]:
        """Wait for all tensors, and return them as arrays by call and layer."""
        self._move()
        for device in self._devices:
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
        return {
            key: values.numpy()
            for keys, views in self._moved
            for key, values in zip(keys, views, strict=True)
        }
