"""Attention read and edited where PyTorch computes it, within named modules only.

A function mode of PyTorch answers the calls of ``scaled_dot_product_attention`` that the modules
make: it is entered by a hook before such a module, and left by one after it. No attention processor
is replaced and no forward method is patched.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from hrvlab.attention.calls import CarryingTap, JointTap
from hrvlab.attention.hooks import full_precision
from hrvlab.attention.kernel import Kernel, TextSoftmax, part_of, score_scale
from hrvlab.attention.orders import in_order, mask_in_order, row_order
from hrvlab.attention.stream import ImageAttention, WordStream
from hrvlab.errors import CoverageError, ModelError
from hrvlab.models.caches import active_cache
from hrvlab.models.processors import check_processor

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hrvlab.attention.calls import BoundEdit, Call, Hook, Now, Tap
    from hrvlab.models.layers import Layer

VALUES = "attn2.to_v"


class ModeHooks:
    """The hooks of taps and edits on a model's attention modules.

    It has the methods of `hrvlab.attention.hooks.ProjectionHooks`.

    Parameters
    ----------
    denoiser : torch.nn.Module
    layers : sequence of Layer
    now : Now
    """

    def __init__(self, denoiser: nn.Module, layers: Sequence[Layer], now: Now) -> None:
        self._denoiser, self._layers, self._now = denoiser, layers, now
        self.modules: list[Any] = [denoiser.get_submodule(layer.module) for layer in layers]
        for layer, module in zip(layers, self.modules, strict=True):
            check_processor(layer, module)
        self._modes: list[_LayerMode] = []

    def install(
        self,
        edits: Sequence[BoundEdit],
        taps: Sequence[Tap],
        hooks: ExitStack,
        *,
        unedited: Sequence[Tap] = (),
    ) -> None:
        """Register all hooks; edits change values alone, so that all taps see the same."""
        carrying = [tap for tap in (*unedited, *taps) if isinstance(tap, CarryingTap)]
        every = [tap for tap in (*unedited, *taps) if tap not in carrying]
        cross = [tap for tap in every if not isinstance(tap, JointTap)]
        if cross and any(layer.text != "alone" for layer in self._layers):
            raise ModelError(f"{type(cross[0]).__name__} reads no joint attention; leave it out")
        kernel = Kernel()
        streams = [WordStream(tap, self._layers, self._now) for tap in carrying]
        for stream in streams:
            stream.install(self._denoiser, hooks)
        for layer, module in zip(self._layers, self.modules, strict=True):
            changes = [edit.hooks(layer)[VALUES] for edit in edits]
            mode = _LayerMode(layer, self._now, every, changes, kernel, streams)
            self._modes.append(mode)
            # An interruption from the keyboard skips the hook after the module.
            hooks.callback(mode.leave)
            before = module.register_forward_pre_hook(mode.enter)
            # The mode that was entered last is left first.
            after = module.register_forward_hook(mode.leave, always_call=True, prepend=True)
            hooks.callback(before.remove)
            hooks.callback(after.remove)

    def begin_call(self) -> None:
        """Forget what the last call answered."""
        for mode in self._modes:
            mode.answered = 0

    def check_coverage(self, number: int) -> None:
        """Check that every module computed its attention once, where the mode sees it.

        Raises
        ------
        CoverageError
            If one did not.
        """
        if not (odd := [mode for mode in self._modes if mode.answered != 1]):
            return
        why = active_cache(self._denoiser) or (
            "another attention backend or processor computes it; call the denoiser's "
            "reset_attention_backend(), and its set_default_attn_processor() if necessary"
        )
        raise CoverageError(
            f"{len(odd)} of {len(self._modes)} attention modules did not call PyTorch's attention "
            f"once in denoiser call {number}, first {odd[0].layer.module}: {why}"
        )


class _LayerMode(TorchFunctionMode):
    """Answers the attention of one layer."""

    def __init__(
        self,
        layer: Layer,
        now: Now,
        taps: Sequence[Tap],
        changes: Sequence[Hook],
        kernel: Kernel,
        streams: Sequence[WordStream],
    ) -> None:
        super().__init__()
        self.layer, self._now, self._kernel = layer, now, kernel
        self._taps, self._changes, self._streams = taps, changes, streams
        self._entered = False
        self.answered = 0

    def enter(self, *_: object) -> None:
        """Enter the mode, in calls with conditional rows."""
        if self._now.call is not None:
            self._entered = True
            self.__enter__()

    def leave(self, *_: object) -> None:
        """Leave the mode, if it was entered."""
        if self._entered:
            self._entered = False
            self.__exit__(None, None, None)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        call = self._now.call
        if func is not scaled_dot_product_attention or call is None:
            return func(*args, **(kwargs or {}))
        answer = self._answer if call.lengths is None else self._answer_rows
        return answer(call, *args, **(kwargs or {}))

    def _answer_rows(
        self, call: Call, query: Tensor, key: Tensor, value: Tensor, **how: Any
    ) -> Tensor:
        """Compute the attention of rows whose image begins at different columns."""
        order = row_order(call, key.shape[2], key.device)
        queries, keys, values = (in_order(part, order) for part in (query, key, value))
        answered = self._answer(call, queries, keys, values, **mask_in_order(how, order))
        if self._edit(call, values, slice(0, call.columns)) is values:
            # Another order of keys would round otherwise.
            return scaled_dot_product_attention(query, key, value, **how)
        return in_order(answered, order.argsort(dim=1))

    def _answer(
        self,
        call: Call,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Compute the attention of all rows (row, head, position, dim), and show it to the taps."""
        if dropout_p or is_causal or enable_gqa:
            raise CoverageError(
                f"{self.layer.module} computes its attention causally, with dropout or with "
                "grouped heads, which is not supported"
            )
        for stream in self._streams:
            if stream.entered:
                return stream.attend(self.layer, query, key, value, scale)
        self.answered += 1
        taps = self._taps if call.observed else ()
        text, image = split_columns(self.layer, key.shape[2], call.columns, call.pixels)
        bias = None if attn_mask is None else attn_mask[(None,) * (4 - attn_mask.ndim)]
        edited = self._edit(call, value, text)
        if self.layer.text == "alone":
            output = scaled_dot_product_attention(query, key, edited, bias, scale=scale)
            if taps:
                self._show(call, query, key, score_scale(query, scale))
            return output
        log_sum: Tensor | None = None
        if edited is value:
            if taps:
                output, every = self._kernel.attend(query, key, value, bias, scale)
                log_sum = every[:, :, image]
            else:
                output = _attend(query, key, value, bias, scale)
        else:
            # The words' own queries read the words as they are, and so does the image's padding.
            others = (
                slice(0, image.start) if self.layer.text == "first" else slice(image.stop, None)
            )
            of_image = (query[:, :, image], key, edited, _of_queries(bias, image), scale)
            if taps:
                seen, log_sum = self._kernel.attend(*of_image)
            else:
                seen = _attend(*of_image)
            rest = _attend(query[:, :, others], key, value, _of_queries(bias, others), scale)
            output = self._joined(rest, seen)
        rows = call.conditional
        if log_sum is not None:
            own_bias = _of_queries(bias, image)
            if own_bias is not None:
                own_bias = own_bias.expand(len(query), -1, -1, -1)[rows, ..., text].detach()
            queries, keys = query[rows, :, image].detach(), key[rows, :, text].detach()
            number = score_scale(query, scale)
            text_softmax = TextSoftmax(queries, keys, number, own_bias, log_sum[rows].detach())
            with full_precision(query.device.type):
                for tap in taps:
                    assert isinstance(tap, JointTap)
                    tap.observe_joint(call, self.layer, text_softmax)
        if call.observed and self._streams:
            parts = [part[rows, :, image].detach() for part in (query, key, value, output)]
            for stream in self._streams:
                stream.keep(ImageAttention(*parts))
        return output

    def _joined(self, words: Tensor, image: Tensor) -> Tensor:
        """Join what words and image have, in the order of their columns."""
        parts = [words, image] if self.layer.text == "first" else [image, words]
        return torch.cat(parts, dim=2)

    def _edit(self, call: Call, value: Tensor, text: slice) -> Tensor:
        """Change the values of the text columns; return the same tensor if nothing changes."""
        if not self._changes:
            return value
        before = after = value[:, :, text].transpose(1, 2).flatten(2)
        for change in self._changes:
            after = change(call, after)
        if after is before:
            return value
        split = after.unflatten(-1, (self.layer.heads, -1)).transpose(1, 2)
        if self.layer.text == "alone":
            return split
        edited = value.clone()
        edited[:, :, text] = split
        return edited

    def _show(self, call: Call, query: Tensor, key: Tensor, scale: float) -> None:
        """Show queries and keys to the taps as projections give them."""
        query, key = (states.transpose(1, 2).flatten(2) for states in (query, key))
        with full_precision(query.device.type):
            for tap in self._taps:
                tap.observe(call, self.layer, query, key, scale)


def split_columns(
    layer: Layer, keys: int, columns: int, pixels: int | None = None
) -> tuple[slice, slice]:
    """Return which keys are those of text columns, and which those of image positions.

    Parameters
    ----------
    layer : Layer
    keys : int
        How many there are.
    columns : int
        How many of them are text columns.
    pixels : int or None
        How many are the image's, if text does not begin right after them.

    Examples
    --------
    >>> from hrvlab.attention.modes import split_columns
    >>> from hrvlab.models.layers import Layer
    >>> split_columns(Layer(0, "double", 0, "attn", 2, 8, 2, 0, text="last"), 100, 20)
    (slice(80, 100, None), slice(0, 80, None))
    """
    if layer.text == "alone":
        return slice(0, keys), slice(0, 0)
    if layer.text == "first":
        return slice(0, columns), slice(columns, keys)
    return slice(keys - columns, keys), slice(0, pixels or keys - columns)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float | None
) -> Tensor:
    output: Tensor = scaled_dot_product_attention(query, key, value, bias, scale=scale)
    return output


def _of_queries(bias: Tensor | None, queries: slice) -> Tensor | None:
    """Return the part of a bias that some queries have."""
    return bias if bias is None else part_of(bias, queries)
