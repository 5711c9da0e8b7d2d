"""The cases of editing: pairs of prompts of which the second changes words of the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hrvlab.inputs.cases import Split, read_cases, select_split


class EditingCase(BaseModel):
    """A prompt, and the same prompt with words replaced, added or dropped.

    Parameters
    ----------
    source, target : str
        The two prompts.
    noun : str
        The source's word for the object that should stay.
    object, wanted : str
        That object, and what the new words ask for, as scores know them.
    concept : str
        Of the new words.
    split : {"dev", "test"}
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    target: str
    noun: str
    object: str
    wanted: str
    concept: str
    split: Split = "test"


class EditingTemplate(BaseModel):
    """The cases of one concept: a template filled with every pair of words and every noun.

    Parameters
    ----------
    template : str
        With ``{word}`` and ``{noun}``.
    pairs : list of str
        Old and new word, such as ``"blue>red"``.
    nouns : list of str
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    template: str
    pairs: list[Annotated[str, Field(pattern="^[^>]+>[^>]+$")]]
    nouns: list[str]

    def cases(self, concept: str) -> list[EditingCase]:
        """List the cases, pair by pair: the new word is wanted, and the noun is the object."""
        return [
            EditingCase(
                source=self.template.format(word=old, noun=noun),
                target=self.template.format(word=new, noun=noun),
                noun=noun,
                object=noun,
                wanted=new,
                concept=concept,
            )
            for old, new in (pair.split(">") for pair in self.pairs)
            for noun in self.nouns
        ]


class EditingCases(BaseModel):
    """A list of cases, written one by one or as templates.

    Parameters
    ----------
    source : str
    cases : list of EditingCase
        One by one.
    concepts : dict of str to EditingTemplate
        As templates; their cases are added to the others.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    cases: list[EditingCase] = []
    concepts: dict[str, EditingTemplate] = {}

    @model_validator(mode="after")
    def _fill_templates(self) -> Self:
        filled = [case for name, many in self.concepts.items() for case in many.cases(name)]
        self.cases = [*self.cases, *filled]
        if not self.cases:
            raise ValueError("there are neither cases nor concepts; give some of either")
        return self


def read_editing(source: str | Path, split: Split | None = None) -> EditingCases:
    """Read pairs of prompts of which the second changes words of the first.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file of the form `EditingCases`.
    split : {"dev", "test"}, optional
        Default: all cases, of both splits.

    Raises
    ------
    ParameterError
        See `hrvlab.inputs.cases.read_cases` and `hrvlab.inputs.cases.select_split`.

    Examples
    --------
    >>> case = read_editing("miniature", "test").cases[0]
    >>> case.source, case.target, case.concept
    ('a red car', 'a blue car', 'Color')
    """
    found = read_cases("editing", EditingCases, source)
    return found.model_copy(update={"cases": select_split(found.cases, split)})


def some_of_each(cases: Sequence[EditingCase], count: int) -> list[EditingCase]:
    """Select the first few cases of every concept.

    Parameters
    ----------
    cases : sequence of EditingCase
    count : int
        At most this many of each concept.

    Returns
    -------
    list of EditingCase
        Concept by concept.

    Examples
    --------
    >>> from hrvlab.experiments.editing import read_editing
    >>> some = some_of_each(read_editing("miniature", "test").cases, 1)
    >>> [case.wanted for case in some]
    ['blue', 'gold', 'polka-dot', 'neon', 'snowy']
    """
    concepts = dict.fromkeys(case.concept for case in cases)
    by_concept = [[case for case in cases if case.concept == concept] for concept in concepts]
    return [case for several in by_concept for case in several[:count]]
