"""The studies whose results ship, by name, each after those that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from hrvlab.experiments.study import Study

# Where each is defined: names are checked without the seconds that importing the studies takes.
STUDIES: Mapping[str, str] = {
    "votes": "hrvlab.experiments.votes.study:STUDY",
    "disambiguation-tuning": "hrvlab.experiments.disambiguation.study:TUNING_STUDY",
    "disambiguation": "hrvlab.experiments.disambiguation.study:STUDY",
    "editing-tuning": "hrvlab.experiments.editing.study:TUNING_STUDY",
    "editing": "hrvlab.experiments.editing.study:STUDY",
    "neglect-tuning": "hrvlab.experiments.neglect.study:TUNING_STUDY",
    "neglect": "hrvlab.experiments.neglect.study:STUDY",
    "weakening": "hrvlab.experiments.weakening.study:STUDY",
    "head-effects": "hrvlab.experiments.head_effects.study:STUDY",
    "voting-rules": "hrvlab.experiments.ablations.study:VOTING_RULES_STUDY",
    "ablations": "hrvlab.experiments.ablations.study:STUDY",
}
# Names of earlier versions.
RENAMED: Mapping[str, str] = {
    "ballots": "voting-rules",
    "effects": "head-effects",
    "polysemy": "disambiguation",
    "polysemy-tuning": "disambiguation-tuning",
}


def select_studies(names: Sequence[str] = ()) -> list[str]:
    """Return the names of studies in the order in which the studies need each other.

    Parameters
    ----------
    names : sequence of str
        In any order; none: all studies.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there is no study of a name; its message lists those there are.
    """
    unknown = sorted(set(names) - STUDIES.keys())
    if unknown:
        now = [f"{name} is now called {RENAMED[name]}" for name in unknown if name in RENAMED]
        raise ParameterError(
            f"there is no study {', '.join(unknown)}; give some of: {', '.join(STUDIES)}"
            + "".join(f"; {one}" for one in now)
        )
    return [name for name in STUDIES if not names or name in names]


def find_study(name: str) -> Study:
    """Return a study, whose module is imported.

    Parameters
    ----------
    name : str

    Raises
    ------
    ParameterError
        If there is no study of that name.
    """
    select_studies([name])
    module, _, attribute = STUDIES[name].partition(":")
    return getattr(import_module(module), attribute)
