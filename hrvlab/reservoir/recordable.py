"""Which models a pool can be recorded of, and which of their layers are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hrvlab.attention.hooks import attention_module
from hrvlab.attention.taps import map_size
from hrvlab.errors import ModelError, ParameterError
from hrvlab.forecast import forecast_latent_size
from hrvlab.models.families import family_of
from hrvlab.reservoir.groups import LayerGroup

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.layers import Layer


def check_static(pipe: DiffusionPipeline, call: dict[str, Any]) -> None:
    """Check that a word has the same keys in every call of the denoiser.

    Raises
    ------
    ModelError
        If words and image share one softmax, and so keys depend on both.
    ParameterError
        If the strength of a LoRA is given with the call, which only the model itself can apply.
    """
    family = family_of(pipe)
    if family.by_mode:
        raise ModelError(
            f"{family.name} has joint attention, where the keys of a word change with the image "
            "and from call to call, so that they cannot be kept once; queries can be recorded of "
            "models with cross-attention: Stable Diffusion, PixArt and Sana"
        )
    for name in ("cross_attention_kwargs", "attention_kwargs"):
        if (call.get(name) or {}).get("scale") is not None:
            raise ParameterError(
                f"the pool's keys are those of the model as it is, and {name} changes a LoRA's "
                "strength for one call; set it with pipe.set_adapters, or leave it out"
            )


def layer_groups(
    pipe: DiffusionPipeline, positions: int, call: dict[str, Any]
) -> tuple[LayerGroup, ...]:
    """Group the layers whose queries are kept in one array.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    positions : int
        That are kept of each head, at most.
    call : dict
        Keywords of the pipeline's own call, of which the size of the images counts.

    Returns
    -------
    tuple of LayerGroup
    """
    family = family_of(pipe)
    denoiser = family.denoiser(pipe)
    size = forecast_latent_size(pipe, call)
    alike: dict[tuple[int, int, int], list[Layer]] = {}
    for layer in family.layers(denoiser):
        height, width = map_size(size, layer.downscale)
        channels = attention_module(denoiser, layer).inner_dim // layer.heads
        alike.setdefault((layer.heads, channels, height * width), []).append(layer)
    return tuple(
        LayerGroup(
            number,
            tuple(layer.index for layer in layers),
            tuple(layer.start for layer in layers),
            *shape,
            kept=min(positions, shape[-1]),
        )
        for number, (shape, layers) in enumerate(alike.items())
    )
