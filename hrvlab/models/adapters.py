"""Adapters of a model (LoRA and its kin, IP-Adapters): what they add, and how calls leave them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# Copies of projections, which diffusers leaves behind when it undoes their fusion.
FUSED = {"to_qkv": "to_q", "to_kv": "to_k", "to_added_qkv": "add_q_proj"}


def adapter_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the path of every layer that PEFT has wrapped, and the layer."""
    for name, layer in module.named_modules():
        # Modules are slow to say that they lack an attribute.
        if "scaling" in vars(layer) and hasattr(layer, "active_adapters"):
            yield name, layer


def acting_adapters(layer: Any) -> list[str]:
    """List the adapters that add to a layer's output now.

    Not those that are disabled, inactive, or of weight 0; nor those whose weights are merged into
    the layer's own ("fused").
    """
    if layer.disable_adapters or layer.merged:
        return []
    return [name for name in layer.active_adapters if layer.scaling.get(name, 0)]


def adapter_strength(module: Any) -> object:
    """Return the strength of an adapter, which is not among its weights; None if none acts."""
    if hasattr(module, "scaling") and hasattr(module, "active_adapters"):
        return sorted((name, module.scaling[name]) for name in acting_adapters(module)) or None
    if hasattr(module, "to_k_ip"):
        return module.scale
    return None


def names_that_count(module: nn.Module, names: Collection[str]) -> dict[str, str]:
    """Return which weights of a module its output depends on.

    Parameters
    ----------
    module : torch.nn.Module
    names : collection of str
        Names of its weights.

    Returns
    -------
    dict of str to str
        For every weight that counts its name in a module of the same output without idle adapters:
        their weights do not count, nor do copies of projections that were fused.
    """
    wrapped = {path: acting_adapters(layer) for path, layer in adapter_layers(module)}
    copies = {
        f"{path}.{copy}"
        for path, part in module.named_modules()
        for copy, original in FUSED.items()
        if hasattr(part, copy) and hasattr(part, original)
    }
    if not wrapped and not copies:
        return {name: name for name in names}
    counted = {}
    for name in names:
        parents = _parents(name)
        if copies & parents:
            continue
        layer = next(iter(parents & wrapped.keys()), None)
        if layer is None:
            counted[name] = name
            continue
        kind, _, rest = name.removeprefix(f"{layer}.").partition(".")
        if kind == "base_layer":
            counted[name] = name if wrapped[layer] else f"{layer}.{rest}"
        elif rest.partition(".")[0] in wrapped[layer]:
            counted[name] = name
    return counted


def _parents(name: str) -> set[str]:
    """Return the paths of all modules that hold a weight."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


@contextmanager
def adapters_kept(pipe: DiffusionPipeline) -> Iterator[None]:
    """Restore the strengths of a pipeline's adapters after a block, also after an exception.

    A call with ``cross_attention_kwargs={"scale": 0}`` leaves every adapter at its full strength,
    another scale may leave a rounding error.
    """
    parts = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    before = [
        (layer.scaling, dict(layer.scaling)) for part in parts for _, layer in adapter_layers(part)
    ]
    try:
        yield
    finally:
        for scaling, strengths in before:
            scaling.update((name, strengths[name]) for name in strengths.keys() & scaling.keys())


def rounding_note(pipe: DiffusionPipeline) -> str:
    """Return the hint that a model's weights were changed by rounding, for an error; else "".

    ``pipe.fuse_lora()`` adds to the weights and ``unfuse_lora()`` subtracts the same, which gives
    the weights that were before but for rounding, so another fingerprint.
    """
    if "_merged_adapters" not in vars(pipe) and not any(
        hasattr(pipe.components.get(name), "_safe_fusing") for name in ("unet", "transformer")
    ):
        return ""
    return (
        "; a LoRA was fused into this one, and unfusing it leaves rounding errors in the weights: "
        "load the pipeline again"
    )
