"""Turning heads down as one line: what the explorer saves, and what a chapter takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hrvlab.attention.edits import CONTENT, Rescale
from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from hrvlab.typing import HeadFactors

FORM = "up.7.7,up.7.3 × -2, words red+car, calls 0:10"
LINE = re.compile(
    r"(?P<heads>[^\s×]+)\s*×\s*(?P<factor>[^\s,]+)"
    r"(?:,\s*words\s+(?P<words>.+?))?(?:,\s*calls\s+(?P<start>\d+):(?P<stop>\d*))?"
)


@dataclass(frozen=True)
class Turn:
    """Heads whose attention to some words is multiplied in some denoiser calls.

    Parameters
    ----------
    heads : tuple of str
        Such as ``"up.7.7"``: block, layer in the block, and number in the layer.
    factor : float
        Below 1 turns down, above 1 up.
    words : str or tuple of str
        ``"content"``: every word.
    window : tuple of int or None
        First denoiser call, and the one after the last.
    """

    heads: tuple[str, ...]
    factor: float
    words: str | tuple[str, ...] = CONTENT
    window: tuple[int, int | None] = (0, None)

    @classmethod
    def parse(cls, line: str) -> Turn:
        """Parse a line, as `__str__` writes it.

        Parameters
        ----------
        line : str
            Such as ``"up.7.7 × -2"`` or ``"up.7.7,up.7.3 × 0, words red+car, calls 0:10"``.

        Raises
        ------
        ParameterError
            If it has another form.
        """
        found = LINE.fullmatch(line.strip())
        try:
            factor = float(found["factor"]) if found else np.nan
        except ValueError:
            factor = np.nan
        if found is None or not np.isfinite(factor):
            raise ParameterError(f"{line!r} turns no head; write it as in {FORM!r}")
        words = tuple(found["words"].split("+")) if found["words"] else CONTENT
        stop = int(found["stop"]) if found["stop"] else None
        return cls(
            tuple(found["heads"].split(",")), factor, words, (int(found["start"] or 0), stop)
        )

    def __str__(self) -> str:
        """Write the line that `parse` reads."""
        words = "" if self.words == CONTENT else f", words {'+'.join(self.words)}"
        start, stop = self.window
        calls = (
            "" if self.window == (0, None) else f", calls {start}:{'' if stop is None else stop}"
        )
        return f"{','.join(self.heads)} × {self.factor:g}{words}{calls}"

    def edit(self, names: Sequence[str]) -> Rescale:
        """Build the edit.

        Parameters
        ----------
        names : sequence of str
            Of all heads of the model, in order of their positions.

        Raises
        ------
        ParameterError
            If the model has no such head, or the window is empty.
        """
        if wrong := [head for head in self.heads if head not in names]:
            raise ParameterError(
                f"there is no head {wrong[0]!r}; heads are named as in {names[0]!r}"
            )
        factors: HeadFactors = np.ones(len(names))
        factors[[names.index(head) for head in self.heads]] = self.factor
        words = self.words if isinstance(self.words, str) else list(self.words)
        return Rescale(factors, words, self.window)
