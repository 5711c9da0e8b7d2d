"""The stream of words through a denoiser's blocks, beside the prompt.

After a block has run, it runs once more on the words, in place of the text that it was given, with
its own modulation and without the image. Its attention is then answered
with the words' keys and the image's, which the block's own run had. Nothing reads the words, so
that the image is bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from hrvlab.attention.carried import WordAttention
from hrvlab.attention.hooks import full_precision
from hrvlab.attention.kernel import score_scale
from hrvlab.attention.word_keys import pass_through
from hrvlab.errors import CoverageError
from hrvlab.models.families.carrier import Passengers
from hrvlab.models.families.inputs import all_given

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hrvlab.attention.calls import Call, CarryingTap, Now
    from hrvlab.models.layers import Layer


class ImageAttention(NamedTuple):
    """The image's part of a layer's attention in a block's own run, of the conditional rows.

    Parameters
    ----------
    query, key, value, output : Tensor, shape (sample, head, position, dim)
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor


class WordStream:
    """The words that a tap has carried, from block to block of every call.

    Parameters
    ----------
    tap : CarryingTap
    layers : sequence of Layer
    now : Now
    """

    def __init__(self, tap: CarryingTap, layers: Sequence[Layer], now: Now) -> None:
        self._tap, self._layers, self._now = tap, layers, now
        assert tap.slots.words.carrier is not None
        self._carrier = tap.slots.words.carrier
        self.entered = self._attended = False
        self.forget()

    def forget(self) -> None:
        """Let go of all states."""
        self._image: ImageAttention | None = None
        self._words: Passengers | None = None
        self._bias: Tensor | None = None

    def install(self, denoiser: nn.Module, hooks: ExitStack) -> None:
        """Register the hooks; when the stack is closed, they are removed and the states let go."""
        hooks.callback(self.forget)
        for layer in self._layers:
            block = denoiser.get_submodule(self._carrier.block(layer))
            after = block.register_forward_hook(partial(self._after, layer), with_kwargs=True)
            hooks.callback(after.remove)

    def keep(self, image: ImageAttention) -> None:
        """Keep what a layer computes for the image until its block has run."""
        self._image = image

    def _after(
        self, layer: Layer, block: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _: object
    ) -> None:
        """Run a block once more, on the words."""
        call = self._now.call
        if call is None or not call.observed or self._image is None:
            return
        given = all_given(block, args, kwargs)
        with torch.no_grad():
            if layer.index == 0:
                self._begin(call, self._image)
            self._run(layer, block, given)
        self._image = None

    def _begin(self, call: Call, image: ImageAttention) -> None:
        """Let the words of a call enter the denoiser."""
        slots, device, dtype = self._tap.slots, image.query.device, image.query.dtype
        drawn = self._tap.draw_slots(call, device)
        states = drawn.states
        for part in slots.words.through:
            states = pass_through(part, states, device)
        self._words = Passengers(states, slots.places(device), call.conditional, call.columns)
        outside = slots.reads(drawn.full).logical_not()[:, None]
        bias = torch.zeros_like(outside, dtype=dtype).masked_fill(outside, -torch.inf)
        # All of the image is read.
        self._bias = pad(bias, (0, image.key.shape[2]))

    def _run(self, layer: Layer, block: Any, given: Mapping[str, Any]) -> None:
        assert self._words is not None
        self.entered, self._attended = True, False
        try:
            # Its own hooks are not called: they are those of its run beside the prompt.
            output = block.forward(**self._carrier.enter(given, self._words))
        finally:
            self.entered = False
        if not self._attended:
            raise CoverageError(
                f"{layer.module} computes attention of few tokens in another way, so that words "
                "cannot be carried through it; call the denoiser's reset_attention_backend()"
            )
        states = self._carrier.leave(output, self._words)
        if states is not None:
            self._words = self._words._replace(states=states)

    def attend(
        self, layer: Layer, query: Tensor, key: Tensor, value: Tensor, scale: float | None
    ) -> Tensor:
        """Compute the attention of words to their own word, the sink and the image; show it.

        Parameters
        ----------
        layer : Layer
        query, key, value : Tensor, shape (sample, head, column, dim)
            Of the words.
        scale : float or None

        Returns
        -------
        Tensor, shape (sample, head, column, dim)
        """
        image, call = self._image, self._now.call
        assert image is not None
        assert call is not None
        keys, values = (
            torch.cat(parts, dim=2) for parts in ((key, image.key), (value, image.value))
        )
        read: Tensor = scaled_dot_product_attention(query, keys, values, self._bias, scale=scale)
        self._attended, number = True, score_scale(query, scale)
        with full_precision(query.device.type):
            seen = WordAttention(image.query, image.output, key, read, number)
            self._tap.observe_words(call, layer, seen)
        return read
