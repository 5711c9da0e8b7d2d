"""Pages of the studies on a model of the user's own: the same chapters, with their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlab.experiments.neglect.study import PUBLISHED, WITH, WITHOUT
from hrvlab.experiments.weakening.study import chosen_cases, split_concepts
from hrvlab.inputs.prompts import read_prompts
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import plan_page
from hrvlab.results.kept_cases import write_kept_cases

if TYPE_CHECKING:
    from hrvlab.experiments.study import Study
    from hrvlab.publish.pages import Page

# The studies whose results a chapter cannot do without.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "relevance": ("votes",),
    "weakening": ("votes", "weakening", "head-effects"),
    "ablations": ("ablations",),
    "disambiguation": ("disambiguation",),
    "editing": ("editing",),
    "neglect": ("neglect",),
}


@dataclass(frozen=True)
class OwnBook:
    """Where the results of studies are, and how the model was loaded.

    Parameters
    ----------
    folder : Path
        Gets the pages.
    results, work : Path
        Of finished results, and of finished units.
    studies : mapping of str to Study
        With their own settings.
    name : str
        Of the pages' runs.
    values : mapping of str to object
        Parameters that all chapters have in common: of the model, the evaluator and the inputs.
    """

    folder: Path
    results: Path
    work: Path
    studies: Mapping[str, Study]
    name: str
    values: Mapping[str, Any]


def plan_own_pages(root: Path, book: OwnBook) -> tuple[list[Page], list[str]]:
    """Plan a page of every chapter whose results there are.

    What a chapter generates besides is a few images, of which finished ones are read from the
    same store.

    Parameters
    ----------
    root : Path
        The source checkout.
    book : OwnBook

    Returns
    -------
    pages : list of Page
    left_out : list of str
        Of the other chapters, the name and what they lack.

    Raises
    ------
    ParameterError, StoreError
    """
    pages, left_out = [], []
    for name, needed in SHOWN.items():
        if lacking := [one for one in needed if one not in book.studies]:
            left_out.append(f"no page of {name}, which shows the results of {', '.join(lacking)}")
            continue
        chapter = find_chapter(root, name)
        known = {parameter.name for parameter in chapter.parameters}
        values = {**_common(book), **dict(_own(book, name))}
        given = {key: value for key, value in values.items() if key in known}
        pages.append(plan_page(root, chapter, given, book.name, output=book.folder))
    return pages, left_out


def _common(book: OwnBook) -> dict[str, Any]:
    """Return the parameters of every chapter."""
    setting = book.studies["votes"].setting
    assert setting is not None
    return {
        **book.values,
        "steps": setting.steps,
        "guidance_scale": setting.guidance_scale,
        "height": setting.height,
        "width": setting.width,
        "batch_size": setting.batch_size,
        "concepts": str(setting.concepts),
        "prompts": str(setting.prompts),
        "column": setting.column,
        "count": len(read_prompts(setting.prompts, setting.column)),
        "judged": False,
        "store": str(book.work),
        "results": str(book.results),
    }


def _own(book: OwnBook, name: str) -> Iterator[tuple[str, Any]]:
    """Iterate over the parameters of one chapter."""
    setting: Any = book.studies[SHOWN[name][-1]].setting
    if make := FEW.get(name):
        yield from make(book, setting).items()
    if name in ("disambiguation", "editing", "neglect"):
        yield "cases", str(write_kept_cases(setting, book.folder / "cases" / f"{name}.yaml"))


def _weakening(book: OwnBook, effects: Any) -> dict[str, Any]:
    setting: Any = book.studies["weakening"].setting
    first = split_concepts(setting)[0][:1]
    seeds = list(chosen_cases(setting, first[0])["seeds"])
    return {
        "tested": first,
        "alone": first,
        "alone_steps": effects.steps,
        "cases": str(setting.cases),
        "prompts_each": setting.prompts_each,
        "seeds": seeds,
        "draws": setting.draws,
        "cuts": list(setting.cuts),
    }


def _ablations(book: OwnBook, setting: Any) -> dict[str, Any]:
    there = split_concepts(setting)[0]
    return {
        "tested": ([name for name in setting.ablated if name in there] or there)[:1],
        "cases": str(setting.cases),
        "prompts_each": 1,
        "seeds": [0],
        "draws": 1,
        "cuts": list(setting.cuts[:1]),
        "count": setting.batch_size,
    }


def _neglect(book: OwnBook, setting: Any) -> dict[str, Any]:
    few = {"sections": list(setting.sections), "pairs": 1, "seeds": [setting.seeds[0]]}
    if "neglect-tuning" in book.studies:
        return {**few, "side": setting.sides[0], "plain_side": setting.sides[0]}
    hrv, plain = PUBLISHED[WITH], PUBLISHED[WITHOUT]
    sides = {"side": hrv.side, "plain_side": plain.side}
    return {**few, **sides, "step_size": hrv.step_size, "plain_step_size": plain.step_size}


FEW: Mapping[str, Callable[[OwnBook, Any], dict[str, Any]]] = {
    "weakening": _weakening,
    "ablations": _ablations,
    "disambiguation": lambda _, setting: {"seeds": [setting.seeds[0]]},
    "editing": lambda _, setting: {"seeds": [setting.seeds[0]], "cases_each": 1},
    "neglect": _neglect,
}
