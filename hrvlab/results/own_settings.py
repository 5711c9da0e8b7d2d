"""Settings of the studies on a model and on inputs of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hrvlab.errors import ParameterError
from hrvlab.experiments.disambiguation.study import DisambiguationSetting
from hrvlab.experiments.editing.study import EditingSetting
from hrvlab.experiments.head_effects.study import HeadEffectsSetting
from hrvlab.experiments.neglect.study import NeglectSetting
from hrvlab.experiments.weakening.study import WordsSetting
from hrvlab.paths import MINIATURE, user_path
from hrvlab.results.registry import STUDIES, find_study

if TYPE_CHECKING:
    from hrvlab.experiments.study import CommonSetting, Study

# Which list of cases a study reads, by its setting.
CASES: Mapping[type, str] = {
    WordsSetting: "weakening",
    DisambiguationSetting: "disambiguation",
    EditingSetting: "editing",
    NeglectSetting: "neglect",
}
PUBLISHED = "published"
LISTS = (MINIATURE, PUBLISHED)
# Fields of settings that other options set.
TAKEN = {"concepts", "prompts", "column", "cases", "evaluators", "client", "progress"}


def find_cases(concepts: str, cases: str | None) -> dict[str, str]:
    """Find the lists of cases that go with a set of concepts.

    Parameters
    ----------
    concepts : str
        A shipped set, or a file.
    cases : str, optional
        ``"miniature"``, ``"published"``, or a folder with files ``weakening.yaml``,
        ``disambiguation.yaml``, ``editing.yaml`` and ``neglect.yaml``, or some of them; by default
        those of the concepts' name, or the published ones.

    Returns
    -------
    dict of str to str
        By the kind of list.
    """
    given = cases or (concepts if concepts in LISTS else PUBLISHED)
    folder = user_path(given)
    own = {kind: str((folder / f"{kind}.yaml").absolute()) for kind in CASES.values()}
    return own if folder.is_dir() else dict.fromkeys(CASES.values(), given)


def own_setting(
    study: Study,
    common: Mapping[str, Any],
    cases: Mapping[str, str],
    changes: Mapping[str, Any],
) -> CommonSetting:
    """Return a study's setting for a model of the user's own.

    Parameters
    ----------
    study : Study
    common : mapping of str to object
        Fields that all studies have in common, such as ``concepts`` and ``steps``.
    cases : mapping of str to str
        Where the cases are, by the kind of list.
    changes : mapping of str to object
        Further fields, by their names or as ``"study.name"``; those of other studies are passed
        over.

    Raises
    ------
    ParameterError
        If a value is not of its field's type.
    """
    shipped = study.setting
    assert shipped is not None
    mine = dict(common)
    if isinstance(shipped, HeadEffectsSetting):  # every head has images of its own
        mine["steps"] = min(mine["steps"], shipped.steps)
    for kind, name in CASES.items():
        if isinstance(shipped, kind):
            mine["cases"] = cases[name]
    own = {one.name: getattr(shipped, one.name) for one in fields(shipped)}
    for name, value in changes.items():
        of, _, plain = name.rpartition(".")
        if plain in own and of in ("", study.name):
            mine[plain] = _checked(plain, value, own[plain])
    return replace(shipped, **mine)


def check_changes(changes: Mapping[str, Any]) -> None:
    """Check that fields of settings which are to be changed are some study's.

    Parameters
    ----------
    changes : mapping of str to object

    Raises
    ------
    ParameterError
    """
    known: dict[str, None] = {}
    for name in STUDIES:
        setting = find_study(name).setting
        assert setting is not None
        plain = [one.name for one in fields(setting) if one.name not in TAKEN]
        known |= dict.fromkeys([*plain, *(f"{name}.{one}" for one in plain)])
    if unknown := [name for name in changes if name not in known]:
        plain = [name for name in known if "." not in name]
        raise ParameterError(
            f"no study has a parameter {', '.join(unknown)}; there are: {', '.join(plain)}, of all "
            "studies or, as in weakening.cuts, of one"
        )


def _checked(name: str, value: Any, default: Any) -> Any:
    """Return a value as its field has it, such as a tuple for a list."""
    kinds: dict[type, Any] = {int: int, float: float, bool: bool, str: str}
    kind = kinds.get(type(default), float | None if default is None else Any)
    if isinstance(default, tuple):
        kind = tuple[type(default[0]), ...]  # type: ignore[misc]
    try:
        return TypeAdapter(kind, config=ConfigDict(strict=False)).validate_python(value)
    except ValidationError as error:
        raise ParameterError(f"{name} is {value!r}; give a value such as {default!r}") from error
