"""Which rows of a denoiser's batch are conditioned on which prompts, as the run shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.attention.calls import Rows
from hrvlab.attention.layouts import assign_rows, choose_rows, in_order
from hrvlab.attention.loops import other_prompts
from hrvlab.attention.texts import Reading, match_rows
from hrvlab.errors import ParameterError
from hrvlab.models.processors import perturbed

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.attention.running import Running
    from hrvlab.attention.texts import TextRecord
    from hrvlab.models.families import Family

ENCODED_AGAIN = 0.01
Text = list[Reading]  # a batch of texts, as each encoder read it


class RowFinder:
    """Finds the conditional rows of every call.

    A pipeline of diffusers has an order of its own; with prompts, contents check it. In a loop of
    one's own contents decide. They are compared once for every new tensor; one already seen is
    recognized by identity, so that an accelerator need not be waited for.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    family : Family
    record : TextRecord
    prompts : sequence of str or None
    given : Tensor or None, shape (prompt, token, dim)
        Text states that the pipeline is given in place of the prompts.
    encoding : mapping of str to object
        See `hrvlab.attention.session.attach`.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        family: Family,
        record: TextRecord,
        prompts: Sequence[str] | None,
        given: Tensor | None,
        encoding: Mapping[str, Any],
    ) -> None:
        self._pipe, self._family, self._record = pipe, family, record
        self._prompts, self._given, self._encoding = prompts, given, encoding
        self._ids = None if prompts is None else family.token_ids(pipe, prompts, **encoding)
        self.forget()

    def forget(self) -> None:
        """Let go of the text states."""
        self._known: list[tuple[Tensor, int, Rows | None]] = []
        self._again: Text | None = None

    def find(self, states: Tensor, sample: Tensor, run: Running | None) -> Rows | None:
        """Find the conditional rows of a call.

        Parameters
        ----------
        states : Tensor, shape (row, token, dim)
            The text states that the denoiser is given.
        sample : Tensor, shape (row, channel, height, width)
        run : Running or None
            The pipeline's own call; None: a loop of one's own.

        Returns
        -------
        Rows or None
            None: no row is conditional.

        Raises
        ------
        ParameterError
            If the states are not those of the prompts, or it is not known which rows are.
        """
        # Inference mode does not count the changes of a tensor.
        version = -1 if states.is_inference() else states._version
        for known, of_version, rows in self._known:
            if known is states and version == of_version >= 0:
                return rows
        if run is None or self._family.two_calls:
            rows = self._in_loop(states, guided=run is None and _halves_equal(sample))
        else:
            rows = self._in_pipeline(states, run)
        # The prompts' states, and those of a negative prompt with calls of its own.
        self._known = [*self._known[-1:], (states, version, rows)]
        return rows

    def _in_pipeline(self, states: Tensor, run: Running) -> Rows:
        """Find the rows by their order, and check their contents."""
        order = self._family.branches(self._pipe, guided=run.guided)
        each, passes = len(states) // len(order), len(order) - order.count("negative")
        first = order.index("prompt") * each
        rows = slice(first, first + each)
        if self._prompts is None:
            return Rows(rows, (0,) * each, passes)
        matched = self._match(states)[first : first + passes * each]
        prompts, *others = (in_order(own) for own in np.split(matched, passes))
        if prompts is None or any(other != prompts for other in others):
            if not self._known:
                raise other_prompts(self._prompts)
            raise ParameterError(
                "the text states were changed in the middle of the run, as by a callback, so that "
                "their tokens are unknown; leave prompt_embeds as they are"
            )
        return Rows(rows, prompts, passes)

    def _in_loop(self, states: Tensor, *, guided: bool) -> Rows | None:
        """Find the rows by their contents."""
        if perturbed(self._family.denoiser(self._pipe)):
            raise ParameterError(
                "perturbed-attention guidance repeats the prompts' rows, and it is not known which "
                "of them to read; attach to the pipeline that guides by it, and call this one"
            )
        if self._prompts is None:
            return self._only_text(states, guided=guided)
        matched = self._match(states)
        rows = choose_rows(matched, guided=guided)
        return None if rows is None else Rows(rows, assign_rows(matched[rows]))

    def _only_text(self, states: Tensor, *, guided: bool) -> Rows | None:
        """Find the rows where no prompts were given: none may be a negative prompt's."""
        read = self._texts(states.shape[1])
        part = self._family.part
        nothing = [[Reading(None, [torch.zeros_like(states[:1])])]]
        others = match_rows(states, nothing, part)[:, 0]
        found = torch.ones_like(others) if not read else match_rows(states, read, part).any(dim=1)
        half = len(states) // 2
        if (
            len(read) > 1
            or not (found | others).all()
            or (guided and not others.any() and not torch.equal(states[:half], states[half:]))
        ):
            raise ParameterError(
                "the denoiser is given several texts, and it is not known which of them are the "
                "prompts; give attach prompts=['a red car']"
            )
        if others.all():
            return None
        rows = choose_rows((~others)[:, None].cpu().numpy(), guided=False)
        return None if rows is None else Rows(rows, (0,) * (rows.stop - rows.start))

    def _match(self, states: Tensor) -> NDArray[np.bool_]:
        """Find which rows are the states of which prompts, shape (row, prompt)."""
        assert self._ids is not None
        # Equal prompts are one text.
        firsts = [self._ids.index(ids) for ids in self._ids]
        if self._given is not None:
            firsts = list(range(len(self._given)))
            texts, numbers = [[Reading(None, [self._given])]], firsts
        else:
            texts, numbers = self._prompts_read(firsts, states.shape[1])
        matched: NDArray[np.bool_] = match_rows(states, texts, self._family.part).cpu().numpy()
        own = np.array(numbers) == np.array(firsts)[:, None]
        return (matched[:, None] & own).any(axis=2)

    def _texts(self, columns: int) -> list[Text]:
        """Return the texts that were read, with the part of their states that the denoiser gets."""
        return [
            [
                Reading(
                    one.ids,
                    [self._family.arriving(states, columns) for states in one.states],
                    one.tolerance,
                )
                for one in text
            ]
            for text in self._record.texts()
        ]

    def _prompts_read(self, firsts: list[int], columns: int) -> tuple[list[Text], list[int]]:
        """Return the texts with the prompts' tokens, and each text's first prompt or −1."""
        assert self._ids is not None
        assert self._prompts is not None
        texts: list[Text] = []
        numbers: list[int] = []
        for text in self._texts(columns):
            read = zip(*(_as_lists(one.ids, len(one.states[0])) for one in text), strict=True)
            own = [self._ids.index(ids) if ids in self._ids else -1 for ids in read]
            if max(own) >= 0:
                texts.append(text)
                numbers += own
        if not {*firsts} <= {*numbers}:
            # They were encoded before the session began.
            if self._again is None:
                with self._record.paused():
                    states = self._family.encode(self._pipe, self._prompts, **self._encoding)
                self._again = [Reading(None, [states], ENCODED_AGAIN)]
            texts.append(self._again)
            numbers += firsts
        return texts, numbers


def _as_lists(ids: Tensor | None, texts: int) -> list[list[int]]:
    return [[]] * texts if ids is None else ids.tolist()


def _halves_equal(sample: Tensor) -> bool:
    """Whether a batch consists of two equal halves, as with classifier-free guidance."""
    half, rest = divmod(len(sample), 2)
    return not rest and torch.equal(sample[:half], sample[half:])
