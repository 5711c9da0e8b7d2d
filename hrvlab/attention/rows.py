"""Which rows of a denoiser's batch are conditioned on which prompts, as the run shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlab.attention.calls import Rows
from hrvlab.attention.texts import Reading, match_rows
from hrvlab.errors import ParameterError
from hrvlab.models.tokens import token_table

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.attention.texts import TextRecord
    from hrvlab.models.families import Family

ENCODED_AGAIN = 0.01
Text = list[Reading]  # a batch of texts, as each encoder read it


@dataclass(frozen=True)
class GivenStates:
    """Text states that a call is given in place of texts.

    Parameters
    ----------
    prompts, negatives : Tensor, shape (text, token, dim), optional
    """

    prompts: Tensor | None = None
    negatives: Tensor | None = None


class RowFinder:
    """Finds the conditional rows of every call by the contents of its text states.

    Contents are compared once for every new tensor; one already seen is recognized by identity, so
    that an accelerator need not be waited for.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    family : Family
    record : TextRecord
    prompts : sequence of str or None
        None: the first texts that the encoders read are the prompts, as pipelines encode them
        before the negative ones.
    given : GivenStates
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        family: Family,
        record: TextRecord,
        prompts: Sequence[str] | None,
        given: GivenStates,
    ) -> None:
        self._pipe, self._family, self._record = pipe, family, record
        self._prompts, self._given = prompts, given
        self._last: Tensor | None = None
        self._version = 0
        self._rows: Rows | None = None

    def find(self, states: Tensor, sample: Tensor) -> Rows | None:
        """Find the conditional rows of a call.

        Parameters
        ----------
        states : Tensor, shape (row, token, dim)
            The text states that the denoiser is given.
        sample : Tensor, shape (row, channel, height, width)

        Returns
        -------
        Rows or None
            None: no row is conditional.

        Raises
        ------
        ParameterError
            If the states are not those of the prompts.
        """
        if states is not self._last or states._version != self._version:
            self._rows = self._find(states, sample)
            self._last, self._version = states, states._version
        return self._rows

    def _find(self, states: Tensor, sample: Tensor) -> Rows | None:
        prompts, others = self._texts()
        known = sum(len(text[0].states[0]) for text in prompts)
        zeros = [Reading(None, [torch.zeros_like(states[:1])])]
        matched: NDArray[np.bool_] = match_rows(states, [*prompts, *others, zeros]).cpu().numpy()
        conditional, others_found = matched[:, :known], matched[:, known:]
        rows = choose_rows(
            np.any(conditional, axis=1, keepdims=False),
            np.any(others_found, axis=1, keepdims=False),
            guided=_halves_equal(sample),
            given=self._prompts is not None,
        )
        if rows is None:
            return None
        if self._prompts is None:
            return Rows(rows, (0,) * (rows.stop - rows.start))
        return Rows(rows, self._assign(conditional[rows]))

    def _assign(self, matched: NDArray[np.bool_]) -> tuple[int, ...]:
        """Assign the conditional rows to prompts: in order, or where that fails by contents."""
        prompts = matched.shape[1]
        in_order = np.repeat(np.arange(prompts), len(matched) // prompts)
        if len(in_order) == len(matched) and matched[np.arange(len(matched)), in_order].all():
            return tuple(in_order.tolist())
        if matched.any(axis=1).all():
            return tuple(matched.argmax(axis=1).tolist())
        raise ParameterError(
            f"the denoiser was given text states that are not those of {self._prompts}; "
            "give attach the same prompts as the pipeline, and encode them inside the block"
        )

    def _texts(self) -> tuple[list[Text], list[Text]]:
        """Return the prompts' texts and all others."""
        read = self._record.texts()
        if self._given.negatives is not None:
            read.append([Reading(None, [self._given.negatives])])
        if self._given.prompts is not None:
            return [[Reading(None, [self._given.prompts])]], read
        if self._prompts is None:
            return read[:1], read[1:]
        for number, text in enumerate(read):
            if self._is_prompts(text[0].ids):
                return [text], [*read[:number], *read[number + 1 :]]
        # They were encoded before the session began.
        states = self._family.encode(self._pipe, self._prompts)
        return [[Reading(None, [states], ENCODED_AGAIN)]], read

    def _is_prompts(self, ids: Tensor | None) -> bool:
        """Whether an encoder read the prompts, by the tokens that it read."""
        if ids is None or self._prompts is None or len(ids) != len(self._prompts):
            return False
        tables = [token_table(self._pipe, prompt) for prompt in self._prompts]
        return ids.tolist() == [[token.number for token in table] for table in tables]


def choose_rows(
    conditional: NDArray[np.bool_], other: NDArray[np.bool_], *, guided: bool, given: bool
) -> slice | None:
    """Choose the rows that are conditioned on prompts, by contents first.

    Parameters
    ----------
    conditional, other : ndarray of bool, shape (row,)
        Whether a row's text states are a prompt's, and whether they are another text's.
    guided : bool
        Whether the batch consists of two equal halves, as with classifier-free guidance.
    given : bool
        Whether the prompts were given; a row is then conditional only if its states are theirs.

    Returns
    -------
    slice or None
        None: no row is conditional.

    Raises
    ------
    ParameterError
        If the rows are not adjacent.
    """
    rows = len(conditional)
    if not conditional.any() and (given or other.all()):
        return None
    certain = conditional & ~other
    if certain.any() and certain[conditional].all():
        found = np.flatnonzero(certain)
        if found[-1] - found[0] + 1 != len(found):
            raise ParameterError(
                f"rows {found.tolist()} of the denoiser's batch are conditioned on the prompts; "
                "give them to the denoiser side by side"
            )
        return slice(int(found[0]), int(found[-1]) + 1)
    # Contents cannot tell: diffusers' UNet pipelines put the negative prompt's rows first.
    return slice(rows // 2, rows) if guided else slice(0, rows)


def _halves_equal(sample: Tensor) -> bool:
    """Whether a batch consists of two equal halves, as with classifier-free guidance."""
    half, rest = divmod(len(sample), 2)
    return not rest and torch.equal(sample[:half], sample[half:])
