"""The texts that a pipeline's text encoders read during a session, and the states they returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrvlab.models.families.inputs import channels_of

if TYPE_CHECKING:
    from torch import nn

FINAL_NORM = "final_layer_norm"


@dataclass
class Reading:
    """One batch of texts that one text encoder read.

    Parameters
    ----------
    ids : Tensor of int, shape (text, token), or None
        None: the text states were given, and no encoder read them.
    states : list of Tensor, each of shape (text, token, dim)
        Every state that the denoiser may have been given: of all layers, and what the final norm
        returned when the pipeline applied it to an earlier layer's.
    tolerance : float
        As a share of each token's largest number: above 0 for texts that were encoded once more,
        where another batch size may round otherwise.
    """

    ids: Tensor | None
    states: list[Tensor] = field(default_factory=list)
    tolerance: float = 0.0


class TextRecord:
    """A record of what text encoders read, made by forward hooks that change nothing.

    Parameters
    ----------
    encoders : sequence of torch.nn.Module
        In the order in which their states are joined along channels.
    """

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        self._readings: list[list[Reading]] = [[] for _ in encoders]
        self._encoders = encoders
        self._paused = False

    def install(self, hooks: ExitStack) -> None:
        """Register the hooks; when the stack is closed, they are removed and the record empties."""
        for encoder, readings in zip(self._encoders, self._readings, strict=True):
            # The states of all layers take the memory of several batches.
            hooks.callback(readings.clear)
            handles = [
                encoder.register_forward_pre_hook(partial(self._begin, readings), with_kwargs=True),
                encoder.register_forward_hook(partial(self._keep_outputs, readings)),
            ]
            for name, module in encoder.named_modules():
                if name.rpartition(".")[2] == FINAL_NORM:
                    keep = partial(self._keep_norm, readings)
                    handles.append(module.register_forward_hook(keep))
            for handle in handles:
                hooks.callback(handle.remove)

    def texts(self) -> list[list[Reading]]:
        """Return the batches of texts in order, each as every encoder read it."""
        batches = [list(one) for one in zip(*self._readings, strict=False)]
        return [one for one in batches if len({len(r.states and r.states[0]) for r in one}) == 1]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing within a block."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _begin(
        self, readings: list[Reading], _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if not self._paused:
            readings.append(Reading(args[0] if args else kwargs.get("input_ids")))

    def _keep_outputs(self, readings: list[Reading], _: nn.Module, __: object, output: Any) -> None:
        if readings and not self._paused:
            readings[-1].states += _text_states(output)

    def _keep_norm(self, readings: list[Reading], _: nn.Module, __: object, output: Tensor) -> None:
        if readings and not self._paused:
            readings[-1].states.append(output)


def _text_states(output: Any) -> Iterator[Tensor]:
    """Yield all states (text, token, dim) of an encoder's output, which may be a plain tuple."""
    for value in output.values() if isinstance(output, dict) else output:
        if isinstance(value, tuple):
            yield from _text_states(value)
        elif isinstance(value, Tensor) and value.ndim == 3:
            yield value


def match_rows(
    states: Tensor,
    texts: Sequence[Sequence[Reading]],
    part: Callable[[Tensor, Sequence[Tensor], int], Tensor] = channels_of,
) -> Tensor:
    """Find which rows of a denoiser's text states are the states of which texts.

    Parameters
    ----------
    states : Tensor, shape (row, token, dim)
    texts : sequence of sequence of Reading
        Batches of texts, each as every encoder read it, whose states are joined.
    part : callable (states, of encoders, number) -> Tensor
        Returns the part of joined states that one of the encoders contributed.

    Returns
    -------
    Tensor of bool, shape (row, text)
        Over the texts of all batches.
    """
    joined = torch.zeros(len(states), 0, dtype=torch.bool, device=states.device)
    parts = [
        [part(states, [one.states[0] for one in text], number) for number in range(len(text))]
        for text in texts
    ]
    found = [[_equal(states[..., :0], one.states[0], 0.0) for one in text] for text in texts]
    # Most runs take all their states from one layer, the first that explains every row.
    for kind in range(max((len(text[0].states) for text in texts), default=0)):
        for text, own, rows in zip(texts, found, parts, strict=True):
            for number, reading in enumerate(text):
                if kind < len(reading.states):
                    same = _equal(rows[number], reading.states[kind], reading.tolerance)
                    own[number] = own[number] | same
        joined = torch.cat([torch.stack(own).all(dim=0) for own in found], dim=1)
        if joined.any(dim=1).all():
            break
    return joined


def _equal(rows: Tensor, states: Tensor, tolerance: float) -> Tensor:
    """Compare every row with every state, in the rows' own type."""
    same = torch.zeros(len(rows), len(states), dtype=torch.bool, device=rows.device)
    if rows.shape[1:] != states.shape[1:]:
        return same
    # One text after another: all pairs at once would take gigabytes.
    for number, state in enumerate(states.detach().to(rows)):
        # By tokens: the states of some, such as the first, are larger by far than the others'.
        off = (rows - state).abs().amax(dim=2)
        same[:, number] = (off <= tolerance * state.abs().amax(dim=1)).all(dim=1)
    return same
