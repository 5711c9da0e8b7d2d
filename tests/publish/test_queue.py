from dataclasses import dataclass
from threading import Event
from types import SimpleNamespace

import pytest

from hrvlab.errors import HrvlabError
from hrvlab.publish.queue import make_all, split

STORES = {"ablations": "runs", "capture": None, "relevance": "runs/votes", "miniature": None}


@dataclass
class Planned:
    """The parts of a page that the queue looks at."""

    chapter: SimpleNamespace
    values: dict


def pages(stores):
    return [
        Planned(SimpleNamespace(name=name), {"store": store} if store else {})
        for name, store in stores.items()
    ]


def names(found):
    return [page.chapter.name for page in found]


def test_the_chapter_on_whose_store_others_build_comes_first():
    first, others = split(pages(STORES))
    assert names(first) == ["relevance", "capture", "miniature"]
    assert names(others) == ["ablations"]
    assert split([]) == ([], [])


def test_two_pages_are_made_at_a_time_and_others_wait_for_the_first_store():
    made, told, both = [], [], Event()

    def make(page):
        if page.chapter.name == "relevance":
            assert both.wait(10)  # until the other thread is at work
        if page.chapter.name == "capture":
            both.set()
        made.append(page.chapter.name)

    make_all(pages(STORES), make, lambda running: told.append(list(running)))
    assert set(made) == set(STORES)
    assert made.index("relevance") < made.index("ablations")
    assert ["relevance", "capture"] in told
    assert told[-1] == []


@pytest.mark.parametrize(
    ("fails", "message"),
    [(["capture"], "^no capture$"), (["relevance", "ablations"], "1. no relevance; 2. no ablat")],
)
def test_a_page_that_fails_stops_no_other(fails, message):
    made = []

    def make(page):
        if page.chapter.name in fails:
            raise HrvlabError(f"no {page.chapter.name}")
        made.append(page.chapter.name)

    with pytest.raises(HrvlabError, match=message):
        make_all(pages(STORES), make)
    assert set(made) == set(STORES) - set(fails)
