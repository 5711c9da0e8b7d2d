"""The properties of an unsupported architecture that keep its heads from being read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

CLIP = ("CLIPTextModel", "CLIPTextModelWithProjection")


def obstacles(
    denoiser: nn.Module | None, text_encoders: Sequence[str], *, described: bool
) -> list[str]:
    """List the properties of an architecture that hrvlab cannot handle.

    Parameters
    ----------
    denoiser : torch.nn.Module, optional
        The transformer or UNet; it may lie on the meta device. None: it is not considered.
    text_encoders : sequence of str
        Names of the text encoders' classes.
    described : bool
        Whether a family describes denoisers of this class.

    Returns
    -------
    list of str
        Empty if only the way in which the pipeline batches its samples is unknown.
    """
    named = list(denoiser.named_modules()) if denoiser is not None else []
    if any(getattr(module, "add_k_proj", None) is not None for _, module in named):
        return [
            "words and image share one softmax (joint attention), so no head has a map of the "
            "words alone"
        ]
    cross = any(
        name.endswith("attn2") and getattr(module, "is_cross_attention", False)
        for name, module in named
    )
    if named and not cross:
        return ["it has no cross-attention layers (attn2), in which an image attends to its prompt"]
    if named and not described:
        return [
            f"no family describes how the layers of {type(denoiser).__name__} are read, and how "
            "its texts become columns"
        ]
    if not hasattr(denoiser, "mid_block"):
        return []
    return [
        f"its text encoder {name} is not CLIP's, whose start token has the same state before "
        "every word, as votes require"
        for name in text_encoders
        if name not in CLIP
    ]
