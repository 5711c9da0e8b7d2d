"""Find out whether a denoiser reuses the attention of earlier steps instead of computing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

# Modules of diffusers.hooks, and what their caches are called.
CACHES = {
    "faster_cache": "FasterCache",
    "first_block_cache": "FirstBlockCache",
    "mag_cache": "MagCache",
    "pyramid_attention_broadcast": "Pyramid Attention Broadcast",
    "sea_cache": "SeaCache",
    "taylorseer_cache": "TaylorSeer",
    "text_kv_cache": "TextKVCache",
}


def active_cache(denoiser: nn.Module) -> str | None:
    """Return which step cache is enabled on a denoiser, and how to disable it.

    Parameters
    ----------
    denoiser : torch.nn.Module
        The UNet or transformer of a pipeline.

    Returns
    -------
    str or None
        A phrase for an error, such as "FasterCache reuses attention of earlier steps; call
        transformer.disable_cache()". None if every step computes its own attention.
    """
    hooks = {
        name: type(hook).__module__.rpartition(".")[2]
        for module in denoiser.modules()
        for name, hook in getattr(vars(module).get("_diffusers_hook"), "hooks", {}).items()
    }
    enabled = {name: CACHES[kind] for name, kind in hooks.items() if kind in CACHES}
    if enabled:
        if getattr(denoiser, "is_cache_enabled", False):
            remedy = "call its disable_cache()"
        else:  # applied by a function, to a model that knows nothing of it
            names = ", ".join(map(repr, sorted(enabled)))
            remedy = (
                "remove it with diffusers.hooks.HookRegistry.check_if_exists_or_initialize("
                f"denoiser).remove_hook(name, recurse=True), where name is {names}"
            )
        return f"{next(iter(enabled.values()))} reuses attention of earlier steps; {remedy}"
    for module in denoiser.modules():
        forward = vars(module).get("forward")
        if str(getattr(forward, "__module__", "")).startswith("DeepCache"):
            return "DeepCache reuses blocks of earlier steps; call its helper's disable()"
    return None
