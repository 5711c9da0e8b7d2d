from types import SimpleNamespace

import pytest

from hrvlab.errors import StoreError
from hrvlab.publish.book import BookError, check_pages, render, stage, why_it_failed
from tests.publish.chapters import checkout

READING = "reading sources... [ 50%] index\nreading sources... [100%] runs/story\n"


@pytest.fixture
def sources(tmp_path):
    """A checkout with a book of one page of prose and one executed page."""
    root = checkout(tmp_path / "checkout")
    (root / "book" / "_ext").mkdir(parents=True)
    (root / "book" / "_ext" / "offline.py").touch()
    (root / "book" / "index.md").write_text("# A book")
    (root / "book" / "runs").mkdir()
    (root / "book" / "runs" / "story.ipynb").write_text('{"cells": []}')
    return root


@pytest.mark.parametrize(
    ("output", "errors", "reason"),
    [
        (
            READING,
            "\nhrvlab: NotJSONError: no JSON\n",
            "failed at runs/story with NotJSONError: no",
        ),
        ("", "hrvlab: PermissionError: [Errno 13]", "it failed with PermissionError: [Errno 13]"),
        (
            "x.md:3: WARNING: what",
            "",
            "the book has 1 warning; the first is: x.md:3: WARNING: what",
        ),
        ("\x1b[91m=====\x1b[0m\n\x1b[91mNo space left\x1b[0m\n=====\n", "", "is: No space left"),
        ("", "", "Jupyter Book said is: nothing"),
    ],
)
def test_the_reason_of_a_failure_is_found_in_what_was_printed(output, errors, reason):
    assert reason in why_it_failed(output, errors)
    assert "\n" not in why_it_failed(output, errors)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_page_is_named(sources, content):
    check_pages(sources)
    (sources / "book" / "runs" / "other.partial.ipynb").write_text(content)
    check_pages(sources)
    (sources / "book" / "runs" / "story.ipynb").write_text(content)
    with pytest.raises(StoreError, match=r"story\.ipynb is not a notebook: .*; delete this page"):
        check_pages(sources)


def test_a_book_elsewhere_has_the_prose_of_the_checkout_and_its_own_pages(sources, tmp_path):
    own = tmp_path / "mine" / "book" / "runs" / "mine.ipynb"
    own.parent.mkdir(parents=True)
    own.touch()
    for _ in range(2):  # the second time everything is there
        stage(sources, tmp_path / "mine")
    assert (tmp_path / "mine" / "book" / "index.md").exists()
    assert (tmp_path / "mine" / "_config.yml").exists()
    assert list(own.parent.iterdir()) == [own]


def test_the_book_of_another_is_not_replaced(sources, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "_config.yml").write_text("title: My thesis")
    with pytest.raises(StoreError, match="thesis holds another book, with a _config.yml"):
        stage(sources, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "_config.yml").read_text() == "title: My thesis"


@pytest.mark.parametrize("end", [1, KeyboardInterrupt])
def test_after_a_rendering_that_did_not_finish_no_page_is_taken_for_finished(
    sources, monkeypatch, end
):
    read = sources / "_build" / ".doctrees" / "environment.pickle"
    found = []

    def build(*_, **__):
        found.append(read.exists())
        read.parent.mkdir(exist_ok=True)
        read.touch()
        if len(found) == 2 and end is KeyboardInterrupt:
            raise end
        return SimpleNamespace(returncode=len(found) == 2, stdout="", stderr="")

    monkeypatch.setattr("hrvlab.publish.book.subprocess.run", build)
    render(sources)
    with pytest.raises(BookError if end == 1 else end):
        render(sources)
    render(sources)
    render(sources)
    assert found == [False, True, False, True]
