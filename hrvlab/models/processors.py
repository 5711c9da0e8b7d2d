"""Attention processors that perturbed-attention guidance exchanges while a pipeline runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hrvlab.models.families import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModelMixin


def perturbed(denoiser: ModelMixin) -> bool:
    """Return whether self-attention of some rows of a denoiser's batches is perturbed now."""
    processors = denoiser.attn_processors.values()
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
