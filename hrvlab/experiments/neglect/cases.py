"""The cases of neglect: prompts of two objects, such as "a cat and a fish"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hrvlab.errors import ParameterError
from hrvlab.inputs.cases import read_cases
from hrvlab.scorers.pair_judge import AND


@dataclass(frozen=True)
class ObjectPair:
    """A prompt of two objects.

    Parameters
    ----------
    prompt : str
    objects : tuple of str
        The two nouns.
    concepts : tuple of str
        Of each.
    """

    prompt: str
    objects: tuple[str, str]
    concepts: tuple[str, str]

    @property
    def phrases(self) -> tuple[str, str]:
        """Return the prompt's words for each object, such as ``"a red cat"``."""
        first, second = self.prompt.split(AND)
        return first, second


class PairCases(BaseModel):
    """Sections of pairs.

    Parameters
    ----------
    source : str
    concepts : dict of str to list of str
        The objects of each concept.
    sections : dict of str to list of str
        Pairs of two words, ``"cat fish"``, or of four, ``"red cat blue fish"``.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    concepts: dict[str, list[str]]
    sections: dict[str, list[str]]

    def pairs(self, section: str, count: int | None = None) -> list[ObjectPair]:
        """Return the pairs of a section, in its order.

        Parameters
        ----------
        section : str
        count : int, optional
            How many, from the first on; default: all.

        Raises
        ------
        ParameterError
            If there is no such section, it has fewer pairs, or one of them cannot be read.
        """
        if section not in self.sections:
            raise ParameterError(
                f"there is no section {section!r}; there are: {', '.join(self.sections)}"
            )
        listed = self.sections[section]
        if count is not None and not 0 < count <= len(listed):
            raise ParameterError(f"{section!r} has 1 to {len(listed)} pairs, not {count}")
        return [self._pair(words) for words in listed[:count]]

    def _pair(self, written: str) -> ObjectPair:
        words = written.split()
        concept_of = {name: concept for concept, names in self.concepts.items() for name in names}
        half = len(words) // 2
        if len(words) not in (2, 4) or not {words[half - 1], words[-1]} <= concept_of.keys():
            raise ParameterError(
                f"{written!r} is not a pair; give two objects, either both or neither "
                f"preceded by a color, of: {', '.join(concept_of)}"
            )
        first, second = words[half - 1], words[-1]
        prompt = AND.join(f"a {' '.join(part)}" for part in (words[:half], words[half:]))
        return ObjectPair(prompt, (first, second), (concept_of[first], concept_of[second]))


def read_pairs(source: str | Path) -> PairCases:
    """Read prompts of two objects.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there are no such cases, or the file is not of that form.

    Examples
    --------
    >>> pair = read_pairs("miniature").pairs("colored objects", 1)[0]
    >>> pair.prompt, pair.concepts
    ('a gray frog and a purple cat', ('Animals', 'Animals'))
    """
    return read_cases("neglect", PairCases, source)
