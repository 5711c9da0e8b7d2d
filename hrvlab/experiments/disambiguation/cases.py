"""The cases of disambiguation: ambiguous words in prompts, each with a sense that is wanted."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hrvlab.inputs.cases import Split, read_cases, select_split


class AmbiguousWord(BaseModel):
    """A word of two senses in a prompt.

    Parameters
    ----------
    prompt, word : str
    wanted, unwanted : str
        The two senses, as scores know them.
    toward, away : str
        The concepts that the word is adjusted toward and away from.
    reworded : str
        A prompt that states the wanted sense plainly.
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


class DisambiguationCases(BaseModel):
    """A list of ambiguous words.

    Parameters
    ----------
    source : str
    cases : list of AmbiguousWord
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = ""
    cases: list[AmbiguousWord]


def read_disambiguation(source: str | Path, split: Split | None = None) -> DisambiguationCases:
    """Read a list of ambiguous words.

    Parameters
    ----------
    source : str or Path
        ``"miniature"``, ``"published"``, or a YAML file.
    split : {"dev", "test"}, optional
        Default: all cases.

    Raises
    ------
    ParameterError
        If there are no such cases, the file is not of that form, or the split is empty.

    Examples
    --------
    >>> case = read_disambiguation("miniature", "test").cases[0]
    >>> case.prompt, case.wanted, case.unwanted
    ('rose', 'rose-colored', 'rose flower')
    """
    found = read_cases("disambiguation", DisambiguationCases, source)
    return found.model_copy(update={"cases": select_split(found.cases, split)})
