"""Attention processors: those that no head is read with, and those that a pipeline exchanges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diffusers.models.attention_processor import FusedJointAttnProcessor2_0

from hrvlab.errors import ModelError
from hrvlab.models.families import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModelMixin

    from hrvlab.models.layers import Layer


def perturbed(denoiser: ModelMixin) -> bool:
    """Return whether self-attention of some rows of a denoiser's batches is perturbed now."""
    processors = getattr(denoiser, "attn_processors", {}).values()  # some classes list none
    return any(type(processor).__name__.startswith("PAG") for processor in processors)


@contextmanager
def processors_kept(pipe: DiffusionPipeline) -> Iterator[None]:
    """Restore a denoiser's attention processors if a block ends by an exception.

    Perturbed-attention guidance exchanges those of self-attention, and restores them only after a
    run that ends well.
    """
    if not hasattr(pipe, "pag_applied_layers"):
        yield
        return
    denoiser = denoiser_of(pipe)
    before = denoiser.attn_processors
    try:
        yield
    except BaseException:
        denoiser.set_attn_processor(dict(before))
        raise


def check_processor(layer: Layer, module: Any) -> None:
    """Check that a module computes one attention, as it was trained to.

    Raises
    ------
    ModelError
        If its projections are fused in a way that skips its norms, or it has an IP-Adapter.
    """
    processor = getattr(module, "processor", None)
    if layer.text != "alone" and isinstance(processor, FusedJointAttnProcessor2_0):
        raise ModelError(
            "the model's attention projections are fused, in which diffusers leaves out its norms; "
            "call pipe.transformer.unfuse_qkv_projections() first"
        )
    if hasattr(processor, "to_k_ip"):
        raise ModelError(
            "with an IP-Adapter, heads attend to its image too; call pipe.unload_ip_adapter() first"
        )
