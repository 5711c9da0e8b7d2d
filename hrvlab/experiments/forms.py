"""The forms of benchmarks: what a YAML file of prompts says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Methods are tuned on cases of the one, and shown on those of the other.
Split = Literal["dev", "test"]


class Weakening(BaseModel):
    """The prompts of one concept: a template filled with every word and every noun.

    Parameters
    ----------
    template : str
        With ``{word}``, and ``{noun}`` if there are nouns.
    words : list of str
        Words of the concept; a prompt's pictures are scored against its word.
    dev : list of str
        Those of the words on which settings may be chosen; the others are for testing.
    nouns : list of str
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    template: str
    words: list[str]
    dev: list[str] = []
    nouns: list[str] = [""]


class WeakeningBenchmark(BaseModel):
    """All concepts of a benchmark.

    Parameters
    ----------
    source : str
    seeds : dict of str to int
        The first seed of each split.
    concepts : dict of str to Weakening
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    seeds: dict[Split, int] = {"test": 0, "dev": 100}
    concepts: dict[str, Weakening]


class Case(BaseModel):
    """A word with two senses in a prompt.

    Parameters
    ----------
    prompt, word : str
    wanted, unwanted : str
        The senses, as scores know them.
    toward, away : str
        The concepts that the word is adjusted toward and away from.
    reworded : str
        A prompt that says the wanted sense plainly.
    source : str
        Where the case is from, if not from where the others are.
    split : {"dev", "test"}
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str
    word: str
    wanted: str
    unwanted: str
    toward: str
    away: str
    reworded: str
    source: str = ""
    split: Split = "test"


class PolysemyBenchmark(BaseModel):
    """All cases of a benchmark.

    Parameters
    ----------
    source : str
    cases : list of Case
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    cases: list[Case]


class Replacement(BaseModel):
    """A prompt in which words are replaced.

    Parameters
    ----------
    source, target : str
        The two prompts.
    noun : str
        The source's word for the thing that should stay.
    thing, wanted : str
        That thing, and what the new words ask for, as scores know them.
    concept : str
        Of the new words.
    split : {"dev", "test"}
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    target: str
    noun: str
    thing: str
    wanted: str
    concept: str
    split: Split = "test"


class Replacements(BaseModel):
    """The replacements of one concept: a template filled with every pair of words and every noun.

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

    def cases(self, concept: str) -> list[Replacement]:
        """Write them out, pair by pair; what is wanted is the new word, the thing is the noun."""
        return [
            Replacement(
                source=self.template.format(word=old, noun=noun),
                target=self.template.format(word=new, noun=noun),
                noun=noun,
                thing=noun,
                wanted=new,
                concept=concept,
            )
            for old, new in (pair.split(">") for pair in self.pairs)
            for noun in self.nouns
        ]


class EditingBenchmark(BaseModel):
    """All replacements of a benchmark.

    Parameters
    ----------
    source : str
    cases : list of Replacement
        One by one.
    concepts : dict of str to Replacements
        By template; they are written out among the cases.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    cases: list[Replacement] = []
    concepts: dict[str, Replacements] = {}

    @model_validator(mode="after")
    def _write_out(self) -> Self:
        written = [case for name, many in self.concepts.items() for case in many.cases(name)]
        self.cases = [*self.cases, *written]
        if not self.cases:
            raise ValueError("it has neither cases nor concepts")
        return self
