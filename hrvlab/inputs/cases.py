"""The cases of an experiment: a shipped list by its name, or a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hrvlab.errors import ParameterError
from hrvlab.inputs.sources import find_source
from hrvlab.inputs.texts import read_text
from hrvlab.inputs.yaml_texts import load_yaml

# Methods are tuned on cases of the first, and tested on cases of the second.
Split = Literal["dev", "test"]
Cases = TypeVar("Cases", bound=BaseModel)


class SplitCase(Protocol):
    """A case that belongs to a split."""

    split: Split


Case = TypeVar("Case", bound=SplitCase)


def read_cases(kind: str, form: type[Cases], source: str | Path) -> Cases:
    """Read the cases of an experiment: a shipped list by its name, or a YAML file.

    Parameters
    ----------
    kind : str
        The experiment; shipped files are named ``data/cases/{kind}-{name}.yaml``.
    form : type
        A pydantic model that the content must match.
    source : str or Path

    Returns
    -------
    pydantic.BaseModel
        Of the type ``form``.

    Raises
    ------
    ParameterError
        If there is no such file, or its content does not match.
    """
    path = find_source("cases", source, prefix=f"{kind}-")
    try:
        return form.model_validate(load_yaml(read_text(path)))
    except (yaml.YAMLError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"{path} does not hold {kind} cases: {reason}") from error


def select_split(cases: Sequence[Case], split: Split | None) -> list[Case]:
    """Select the cases of a split.

    Parameters
    ----------
    cases : sequence of case
    split : {"dev", "test"} or None
        None: all cases.

    Raises
    ------
    ParameterError
        If there is no case of that split.
    """
    selected = [case for case in cases if split in (None, case.split)]
    if not selected:
        raise ParameterError(
            f"there is no case of the split {split!r}; there are cases of: "
            f"{', '.join(sorted({case.split for case in cases}))}"
        )
    return selected
