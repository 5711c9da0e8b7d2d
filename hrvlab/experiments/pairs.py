"""Prompts of two things, "a cat and a fish" or "a red cat and a blue fish"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hrvlab.errors import ParameterError
from hrvlab.experiments.benchmarks import read_form

AND = " and "


@dataclass(frozen=True)
class Pair:
    """A prompt of two things.

    Parameters
    ----------
    prompt : str
    things : tuple of str
        The two nouns.
    concepts : tuple of str
        Of each.
    """

    prompt: str
    things: tuple[str, str]
    concepts: tuple[str, str]

    @property
    def halves(self) -> tuple[str, str]:
        """What the prompt says of each thing, such as ``"a red cat"``."""
        first, second = self.prompt.split(AND)
        return first, second


class PairsBenchmark(BaseModel):
    """Sections of pairs.

    Parameters
    ----------
    source : str
    concepts : dict of str to list of str
        The things of each concept.
    sections : dict of str to list of str
        Pairs of two words, ``"cat fish"``, or of four, ``"red cat blue fish"``.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    concepts: dict[str, list[str]]
    sections: dict[str, list[str]]

    def pairs(self, section: str, count: int | None = None) -> list[Pair]:
        """Write the prompts of a section, in its order.

        Parameters
        ----------
        section : str
        count : int, optional
            Take the first so many; default: all.

        Raises
        ------
        ParameterError
            If there is no such section, it has not so many pairs, or one of them cannot be read.
        """
        if section not in self.sections:
            raise ParameterError(
                f"the benchmark has no section {section!r}; it has: {', '.join(self.sections)}"
            )
        listed = self.sections[section]
        if count is not None and not 0 < count <= len(listed):
            raise ParameterError(f"{section!r} has 1 to {len(listed)} pairs, not {count}")
        return [self._pair(words) for words in listed[:count]]

    def _pair(self, written: str) -> Pair:
        words = written.split()
        of = {thing: concept for concept, things in self.concepts.items() for thing in things}
        half = len(words) // 2
        if len(words) not in (2, 4) or not {words[half - 1], words[-1]} <= of.keys():
            raise ParameterError(
                f"{written!r} is not a pair; write two things, or two colors each before its "
                f"thing, of the things {', '.join(of)}"
            )
        first, second = words[half - 1], words[-1]
        prompt = AND.join(f"a {' '.join(part)}" for part in (words[:half], words[half:]))
        return Pair(prompt, (first, second), (of[first], of[second]))


def read_pairs(source: str | Path) -> PairsBenchmark:
    """Read prompts of two things.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there is no such benchmark, or it is not of that form.
    """
    return read_form("neglect", PairsBenchmark, source)
