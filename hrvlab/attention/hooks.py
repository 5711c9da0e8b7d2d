"""Forward hooks on the projections of attention modules: PyTorch's own, removed without a trace.

No attention processor is replaced and no forward method is patched: hooks on the projections read
and change their inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0

from hrvlab.errors import CoverageError, ModelError
from hrvlab.models.caches import active_cache
from hrvlab.models.projections import Projections

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hrvlab.attention.calls import BoundEdit, Call, Hook, Now, Tap
    from hrvlab.models.layers import Layer


class ProjectionHooks:
    """The hooks of taps and edits on a model's projections.

    Parameters
    ----------
    denoiser : torch.nn.Module
    layers : sequence of Layer
    now : Now
    """

    def __init__(self, denoiser: nn.Module, layers: Sequence[Layer], now: Now) -> None:
        self._denoiser, self._layers, self._now = denoiser, layers, now
        self.modules = [attention_module(denoiser, layer) for layer in layers]
        self._hooked: set[str] = set()
        self._fired: set[str] = set()

    def install(
        self,
        edits: Sequence[BoundEdit],
        taps: Sequence[Tap],
        hooks: ExitStack,
        *,
        unedited: Sequence[Tap] = (),
    ) -> None:
        """Register all hooks: edits in the order given, then taps, which see the edited states.

        Those of ``unedited`` come before the edits.
        """
        self._placed = Projections.of(self._denoiser)
        before, after = _Observers(unedited), _Observers(taps)
        hooks.callback(before.forget)
        hooks.callback(after.forget)
        for layer, module in zip(self._layers, self.modules, strict=True):
            own = before.hooks(layer, module)
            own += [hook for edit in edits for hook in edit.hooks(layer).items()]
            own += after.hooks(layer, module)
            for projection, hook in own:
                name = f"{layer.module.removesuffix('attn2')}{projection}"
                handle = self._register(name, hook)
                hooks.callback(handle.remove)

    def _register(self, name: str, hook: Hook) -> torch.utils.hooks.RemovableHandle:
        """Register a hook on a projection's output, or on the input of an output projection."""
        fired, now = self._fired, self._now

        def before(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
            fired.add(name)
            return None if now.call is None else (hook(now.call, given[0]),)

        def after(_: nn.Module, __: object, output: Tensor) -> Tensor | None:
            fired.add(name)
            return None if now.call is None else hook(now.call, output)

        projection = self._denoiser.get_submodule(name)
        self._hooked.add(name)
        if name.endswith("to_out.0"):
            return projection.register_forward_pre_hook(before)
        return projection.register_forward_hook(after)

    def begin_call(self) -> None:
        """Forget which hooks ran in the last call, and check that all projections are there.

        Raises
        ------
        ModelError
            If a projection was replaced or wrapped, as by an adapter, and so would be misread.
        """
        self._fired.clear()
        if replaced := self._placed.replaced():
            raise ModelError(
                f"{len(replaced)} attention projections were replaced after attach, first "
                f"{replaced[0]}; load adapters and change the model before it"
            )

    def check_coverage(self, number: int) -> None:
        """Check that every hook ran in a call.

        Raises
        ------
        CoverageError
            If a projection was not used.
        """
        missing = sorted(self._hooked - self._fired)
        if not missing:
            return
        why = active_cache(self._denoiser) or (
            "they were fused after attach, or the model's attention processor bypasses them; "
            "attach last, and call the denoiser's set_default_attn_processor() if necessary"
        )
        raise CoverageError(
            f"{len(missing)} of {len(self._hooked)} attention projections were not used in "
            f"denoiser call {number}, first {missing[0]}: {why}"
        )


class _Observers:
    """Taps that see the same states of every layer."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self._taps = taps
        self._query: Tensor | None = None

    def hooks(self, layer: Layer, module: Attention) -> list[tuple[str, Hook]]:
        """Return the hooks of a layer's queries and keys, if there are taps."""
        if not self._taps:
            return []
        return [
            (f"attn2.{layer.query}", self._keep_query),
            (f"attn2.{layer.key}", partial(self._observe, layer, module)),
        ]

    def _keep_query(self, call: Call, output: Tensor) -> Tensor:
        self._query = output
        return output

    def _observe(self, layer: Layer, module: Attention, call: Call, output: Tensor) -> Tensor:
        assert self._query is not None
        with full_precision(output.device.type):
            for tap in self._taps:
                tap.observe(call, layer, self._query, output, module.scale)
        return output

    def forget(self) -> None:
        """Let go of the states."""
        self._query = None


def full_precision(device: str) -> AbstractContextManager[None]:
    """Return a block that mixed precision around the pipeline's call does not reach."""
    mixed = torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if mixed else nullcontext()


def attention_module(denoiser: nn.Module, layer: Layer) -> Attention:
    """Return a layer's attention module, after checking that its heads can be read.

    Raises
    ------
    ModelError
        If its projections are fused, or it normalizes queries and keys in an unknown way.
    """
    module = denoiser.get_submodule(layer.module)
    assert isinstance(module, Attention)
    if isinstance(module.processor, FusedAttnProcessor2_0):
        owner = "pipe.transformer" if layer.block == "cross" else "pipe"
        raise ModelError(
            "the model's attention projections are fused; call "
            f"{owner}.unfuse_qkv_projections() first"
        )
    if not layer.normed and (module.norm_q is not None or module.norm_k is not None):
        raise ModelError(f"{layer.module} normalizes queries and keys, which is not supported")
    return module
