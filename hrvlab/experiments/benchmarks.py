"""Lists of prompts that test a method, shipped or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hrvlab.errors import ParameterError
from hrvlab.paths import data_path

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
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str
    target: str
    noun: str
    thing: str
    wanted: str
    concept: str


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


Benchmark = TypeVar("Benchmark", bound=BaseModel)


def read_weakening(source: str | Path) -> WeakeningBenchmark:
    """Read the prompts of ordered weakening.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, ``"published-unseen"`` (words that are not the concept's
        own), ``"published-tableware"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there is no such benchmark, or it is not of that form.
    """
    return read_form("weakening", WeakeningBenchmark, source)


def read_polysemy(source: str | Path) -> PolysemyBenchmark:
    """Read cases of words with two senses.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there is no such benchmark, or it is not of that form.
    """
    return read_form("polysemy", PolysemyBenchmark, source)


def read_editing(source: str | Path) -> EditingBenchmark:
    """Read pairs of prompts of which the second replaces words of the first.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.

    Raises
    ------
    ParameterError
        If there is no such benchmark, or it is not of that form.
    """
    return read_form("editing", EditingBenchmark, source)


def read_form(kind: str, form: type[Benchmark], source: str | Path) -> Benchmark:
    """Read a benchmark of a kind: a shipped one by its name, or a YAML file.

    Raises
    ------
    ParameterError
        If there is none, or it is not of the form.
    """
    folder = data_path("benchmarks")
    shipped = {path.stem.removeprefix(f"{kind}-"): path for path in folder.glob(f"{kind}-*.yaml")}
    path = shipped.get(str(source), Path(source))
    if not path.is_file():
        raise ParameterError(
            f"there is no benchmark {str(source)!r}; give a YAML file or one of: "
            f"{', '.join(sorted(shipped))}"
        )
    try:
        return form.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"{path} is not a {kind} benchmark: {reason}") from error


def weakening_prompts(
    benchmark: WeakeningBenchmark,
    concept: str,
    count: int | None = None,
    *,
    split: Split | None = None,
) -> tuple[list[str], list[str]]:
    """Write the prompts of one concept.

    Parameters
    ----------
    benchmark : WeakeningBenchmark
    concept : str
    count : int, optional
        Take that many, evenly spread over all; default: all.
    split : {'dev', 'test'}, optional
        Only prompts with words for choosing settings, or only those for testing; default: all.

    Returns
    -------
    prompts, texts : list of str
        Each prompt, and the word that its pictures are scored against.

    Raises
    ------
    ParameterError
        If the benchmark has no such concept, or not so many prompts.
    """
    if concept not in benchmark.concepts:
        raise ParameterError(
            f"the benchmark has no concept {concept!r}; it has: {', '.join(benchmark.concepts)}"
        )
    entry = benchmark.concepts[concept]
    pairs = [
        (entry.template.format(word=word, noun=noun), word)
        for noun in entry.nouns
        for word in entry.words
        if split is None or (word in entry.dev) == (split == "dev")
    ]
    if not pairs:
        raise ParameterError(f"{concept!r} has no prompts for {split}")
    if count is not None and not 0 < count <= len(pairs):
        raise ParameterError(f"{concept!r} has 1 to {len(pairs)} prompts, not {count}")
    chosen = np.linspace(0, len(pairs), count or len(pairs), endpoint=False).astype(int)
    prompts, texts = zip(*(pairs[index] for index in chosen), strict=True)
    return list(prompts), list(texts)
