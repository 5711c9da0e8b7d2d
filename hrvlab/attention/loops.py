"""Denoising loops of one's own: each call is known to be the prompts', or not; or it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.attention.calls import Rows


class LoopCheck:
    """A check of the calls that a loop of one's own makes at one timestep.

    Guidance may be computed by one call for each text, of which one is the prompts'.

    Parameters
    ----------
    prompts : sequence of str or None
    """

    def __init__(self, prompts: Sequence[str] | None) -> None:
        self._prompts = prompts
        self._found = False
        self.forget()

    def forget(self) -> None:
        """Let go of the last call."""
        self._last: tuple[float, Tensor, Tensor, Rows | None] | None = None

    def check(
        self, scheduler_timestep: float, sample: Tensor, states: Tensor, rows: Rows | None
    ) -> None:
        """Check a call by the one before it.

        Parameters
        ----------
        scheduler_timestep : float
        sample : Tensor, shape (row, channel, height, width)
        states : Tensor, shape (row, token, dim)
        rows : Rows or None
            None: no row is conditional.

        Raises
        ------
        ParameterError
            If no call of a step was conditional, or two calls of one step may be.
        """
        last, self._last = self._last, (scheduler_timestep, sample.clone(), states, rows)
        self._found = self._found or rows is not None
        if last is None:
            return
        if last[0] != scheduler_timestep:
            if not self._found:
                raise other_prompts(self._prompts)
            return
        if self._prompts is None and not torch.equal(last[2], states):
            raise ParameterError(
                "two calls of the denoiser have one timestep and different texts, and it is not "
                "known which of them is the prompt's; give attach prompts=['a red car']"
            )
        if rows is not None and last[3] is not None and torch.equal(last[1], sample):
            raise ParameterError(
                "two calls of the denoiser have the same timestep, latents and prompts, and it is "
                "not known which of them to read; give another negative prompt, and call it once"
            )


def other_prompts(prompts: Sequence[str] | None) -> ParameterError:
    """Build the error that a run has other prompts than the session."""
    return ParameterError(
        f"the run has other prompts than attach was given, {prompts}; give attach the same "
        "prompts, encode them within the block, and give encoding= what of it is not default"
    )
