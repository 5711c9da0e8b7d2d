"""Forecast what a page takes before it is executed, part by part."""

from __future__ import annotations

from contextlib import chdir
from typing import TYPE_CHECKING

from hrvlab.publish.chapter_work import CHAPTERS, work_of
from hrvlab.rehearsal import together

if TYPE_CHECKING:
    from hrvlab.publish.pages import Page


def rehearse_page(page: Page) -> str:
    """Forecast all that a page computes with its model, from a few denoiser calls of every part.

    Parameters
    ----------
    page : Page

    Returns
    -------
    str
        A line, and below it one for every part if there are several. Finished work in the store is
        forecast as if it were not there; the page's own bytes are not counted.

    Raises
    ------
    ParameterError, ConceptError, ModelError
        If its parameters cannot be used.
    """
    if page.finished:
        return f"unchanged: {page.path}"
    with chdir(page.folder):
        works = work_of(page.chapter.name, page.values)
        if not works:
            return f"{page.label}: it generates nothing that is known"
        # What several parts have in common, such as votes by several rules, is rehearsed once.
        measured = {work.rehearse: work.rehearse() for work in works}
    found = [measured[work.rehearse] for work in works]
    lines = [f"{page.label}: {together(found)}"]
    if len(works) > 1:
        lines += [f"  {work.name}: {one}" for work, one in zip(works, found, strict=True)]
        lines.append("  besides the page itself; finished work in the store is not done again")
    if page.chapter.name not in CHAPTERS:
        lines.append("  of a chapter of your own, nothing else is forecast")
    return "\n".join(lines)
