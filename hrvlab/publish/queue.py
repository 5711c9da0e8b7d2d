"""All chapters of a book, two at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from hrvlab.errors import HrvlabError

if TYPE_CHECKING:
    from hrvlab.publish.pages import Page

AT_A_TIME = 2
STORE = "store"  # the parameter that names where a chapter keeps its work


def make_all(
    pages: Sequence[Page],
    make: Callable[[Page], None],
    tell: Callable[[Sequence[str]], None] = lambda _: None,
) -> None:
    """Make pages two at a time, of which no two begin work in the same store.

    Parameters
    ----------
    pages : sequence of Page
    make : callable (Page) -> None
        Makes a page, in a thread.
    tell : callable (sequence of str) -> None
        Is told the names of the chapters being made, whenever they change.

    Raises
    ------
    HrvlabError
        If pages cannot be made: the error of one, or one that lists all. The others are made.
    """
    running: list[str] = []
    lock = Lock()

    def work(page: Page) -> None:
        with lock:
            running.append(page.chapter.name)
            tell(running)
        try:
            make(page)
        finally:
            with lock:
                running.remove(page.chapter.name)
                tell(running)

    first, others = split(pages)
    pool = ThreadPoolExecutor(AT_A_TIME)
    try:
        begun = [pool.submit(work, page) for page in first]
        errors = [future.exception() for future in begun[:1]]
        begun = [*begun[1:], *(pool.submit(work, page) for page in others)]
        errors += [future.exception() for future in begun]
    except BaseException:
        # After Ctrl-C nothing else begins, and nobody waits for the kernels.
        pool.shutdown(wait=False, cancel_futures=True)
        for kernel in multiprocessing.active_children():
            kernel.terminate()
        raise
    finally:
        pool.shutdown()
    _raise([error for error in errors if error])


def split(pages: Sequence[Page]) -> tuple[list[Page], list[Page]]:
    """Split pages into those that can be made at once, and those that wait for the first of them.

    Parameters
    ----------
    pages : sequence of Page

    Returns
    -------
    first : list of Page
        The page with the innermost store, on which the others build, and all without a store.
    others : list of Page
    """
    keeping = [page for page in pages if page.values.get(STORE)]
    free = [page for page in pages if page not in keeping]
    if not keeping:
        return free, []
    innermost = max(keeping, key=lambda page: len(Path(page.values[STORE]).parts))
    return [innermost, *free], [page for page in keeping if page is not innermost]


def _raise(errors: Sequence[BaseException]) -> None:
    unexpected = [error for error in errors if not isinstance(error, HrvlabError)]
    if len(errors) == 1 or unexpected:
        raise (unexpected or errors)[0]
    if errors:
        raise HrvlabError("; ".join(f"{number}. {error}" for number, error in enumerate(errors, 1)))
