"""A cross-attention layer of a denoiser: where it is, and where its queries and keys are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn


UNSTATED = 128  # latents of 1024 pixels, as the pipelines of FLUX take them


@dataclass(frozen=True)
class Layer:
    """A cross-attention layer.

    Parameters
    ----------
    index : int
        Its number in forward order.
    block : {"down", "mid", "up", "cross", "double", "single"}
        ``"cross"``: of a transformer whose blocks are all alike. With joint attention, text and
        image have weights of their own in ``"double"`` blocks, and share them in ``"single"`` ones.
    block_layer : int
        Its number within the block.
    module : str
        Path of the attention module within the denoiser.
    heads : int
    grid : int
        Height of the layer's grid at the model's default size.
    downscale : int
        Factor by which its grid is smaller than the latents.
    start : int
        Head position of its first head.
    query, key : str
        The parts of the attention module whose outputs are all heads' queries and keys, as the
        softmax takes them: the projections, or norms behind them.
    of_heads : bool
        Whether those norms are over the channels of each head, not over all channels.
    key_heads : int or None
        How many heads keys and values have, which several heads of queries share; None: each its
        own.
    text : {"alone", "first", "last"}
        Where the text columns stand among the keys: they are all the keys; or, in joint attention,
        they stand before or after those of the image.
    """

    index: int
    block: str
    block_layer: int
    module: str
    heads: int
    grid: int
    downscale: int
    start: int
    query: str = "to_q"
    key: str = "to_k"
    of_heads: bool = False
    key_heads: int | None = None
    text: Literal["alone", "first", "last"] = "alone"

    @property
    def head_positions(self) -> slice:
        """The head positions of this layer's heads."""
        return slice(self.start, self.start + self.heads)

    @property
    def normed(self) -> bool:
        """Whether norms stand between projections and softmax."""
        return (self.query, self.key) != ("to_q", "to_k")


def default_size(denoiser: nn.Module) -> tuple[int, int]:
    """Return height and width of the latents that a model was trained for."""
    config: Any = denoiser.config
    size = getattr(config, "sample_size", UNSTATED)
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
