"""Lists of the cases that there are vectors for, written as files that chapters read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hrvlab.experiments.disambiguation.cases import read_disambiguation
from hrvlab.experiments.disambiguation.study import DisambiguationSetting
from hrvlab.experiments.editing.cases import EditingCases, read_editing
from hrvlab.experiments.editing.study import EditingSetting
from hrvlab.experiments.neglect.cases import read_pairs
from hrvlab.experiments.neglect.study import NeglectSetting
from hrvlab.experiments.study import split_cases
from hrvlab.storage.atomic import storing, write_whole

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hrvlab.experiments.disambiguation.cases import DisambiguationCases
    from hrvlab.experiments.neglect.cases import PairCases
    from hrvlab.experiments.study import CommonSetting


def write_kept_cases(setting: CommonSetting, path: Path) -> Path:
    """Write the cases of a study that there are vectors for.

    Parameters
    ----------
    setting : CommonSetting
        Of a study of ambiguous words, of edits or of pairs.
    path : Path
        Of a YAML file, whose folder need not exist.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    ParameterError
        If there are no such cases.
    StoreError
        If the file cannot be written.
    """
    kept = next(keep(setting) for kind, keep in KEEP.items() if isinstance(setting, kind))
    text = yaml.safe_dump(kept.model_dump(), sort_keys=False, allow_unicode=True)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    return path


def _words(setting: DisambiguationSetting) -> DisambiguationCases:
    found = read_disambiguation(setting.cases)
    kept, _ = split_cases(found.cases, lambda case: [case.toward, case.away], setting)
    return found.model_copy(update={"cases": kept})


def _edits(setting: EditingSetting) -> EditingCases:
    found = read_editing(setting.cases)
    kept, _ = split_cases(found.cases, lambda case: [case.concept], setting)
    return EditingCases(source=found.source, cases=kept)


def _pairs(setting: NeglectSetting) -> PairCases:
    found, names = read_pairs(setting.cases), {*setting.names}
    sections = {
        section: [
            written
            for written, pair in zip(listed, found.pairs(section), strict=True)
            if {*pair.concepts} <= names
        ]
        for section, listed in found.sections.items()
    }
    return found.model_copy(update={"sections": sections})


KEEP: Mapping[type, Callable[..., BaseModel]] = {
    DisambiguationSetting: _words,
    EditingSetting: _edits,
    NeglectSetting: _pairs,
}
