"""How far an edit changes the background: where the source image attends little to the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrvlab.capture import capture
from hrvlab.experiments.runner import Generated
from hrvlab.noise import initial_noise

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.conditions import Condition
    from hrvlab.experiments.editing.cases import EditingCase
    from hrvlab.typing import Images


@dataclass(frozen=True)
class Source:
    """A case's source image, and where its background is.

    Parameters
    ----------
    case : EditingCase
    index : int
        The noise derives from it and the seed.
    """

    case: EditingCase
    index: int
    _generated: dict[tuple[int, ...], tuple[Images, NDArray[np.float32]]] = field(
        default_factory=dict
    )

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], **call: Any
    ) -> tuple[Images, NDArray[np.float32]]:
        """Generate the source images once; all conditions share them.

        Returns
        -------
        images : ndarray of uint8, shape (seed, y, x, channel)
        outside : ndarray of float32, shape (seed, y, x)
            Weights, large where the attention to the object is weak; NaN for images that were
            withheld.
        """
        if tuple(seeds) not in self._generated:
            tree = capture(
                pipe,
                [self.case.source] * len(seeds),
                maps=[self.case.noun],
                latents=initial_noise(pipe, seeds, self.index, **call),
                progress=False,
                **call,
            )
            root = tree.to_dataset()
            images = root["image"].values
            finest = max(tree.children, key=lambda name: tree[name].sizes["map_y"])
            maps = tree[finest].to_dataset()["maps"]
            attention = maps.mean(("timestep", "map_layer", "head", "map_word")).values
            shares = (attention / attention.max((1, 2), keepdims=True)).astype(np.float32)
            size = images.shape[2:0:-1]
            resized = [Image.fromarray(s).resize(size, Image.Resampling.BILINEAR) for s in shares]
            outside = 1 - np.stack([np.asarray(one) for one in resized])
            if "withheld" in root:
                outside[root["withheld"].values] = np.nan  # nothing can be compared with black
            self._generated[tuple(seeds)] = images, outside
        return self._generated[tuple(seeds)]


@dataclass(frozen=True)
class Beside:
    """A condition whose images are compared with the source images.

    Parameters
    ----------
    condition : Condition
        Of one row.
    source : Source
    """

    condition: Condition
    source: Source

    @property
    def rows(self) -> int:
        """Return how many rows its condition has."""
        return self.condition.rows

    def plan(self) -> dict[str, Any]:
        """Return all that determines its images and their measure, as JSON."""
        case = self.source.case
        return {**self.condition.plan(), "beside": case.source, "noun": case.noun}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if it cannot be generated."""
        self.condition.check(pipe)

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Generated:
        """Generate its images, and measure how far the background changed."""
        after = self.condition.generate(pipe, seeds, batch_size=batch_size, **call)
        before, outside = self.source.generate(pipe, seeds, batch_size=batch_size, **call)
        changes = distance_outside(before, after.images, outside)
        changes[after.withheld] = np.nan
        return Generated(after.images, {"moved": changes})  # the name in stored plans


def distance_outside(
    before: Images, after: Images, outside: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute the weighted mean absolute difference of images.

    Parameters
    ----------
    before, after : ndarray of uint8, shape (image, y, x, channel)
    outside : ndarray of float, shape (image, y, x)
        Weights of the pixels.

    Returns
    -------
    ndarray of float64, shape (image,)
        0 for equal images, 1 for black and white.
    """
    difference = np.abs(before.astype(np.float64) - after).mean(-1) / 255
    return (difference * outside).sum((1, 2)) / outside.sum((1, 2))
