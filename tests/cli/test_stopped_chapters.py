"""Chapters, books and results that are stopped at any moment: the rerun gives the same."""

import json
import os
import shutil
import signal
from functools import partial
from multiprocessing import active_children

import nbformat
import pytest

from hrvlab.models import load
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import plan_page
from hrvlab.publish.runs import execute
from hrvlab.results import make, registry
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.units import DATA
from tests.faults import STOP, run_command, tell_to_stop
from tests.pipelines import tiny_sd
from tests.publish.chapters import checkout
from tests.relevance.test_votes import same
from tests.test_cli import run

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
WAYS = {130: "Ctrl-C", 143: "SIGTERM"}
COUNT = """
from tests.faults import stop_as_told

stop_as_told(store)

import hrvlab as hl
from tests.pipelines import tiny_sd

pipe = tiny_sd()
concepts = hl.ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat", "dog"]})
prompts = ["a red car", "a cat", "a blue tree"]
given = {"batch_size": 1, "num_inference_steps": steps, "progress": False}
votes = hl.collect_votes(pipe, concepts, prompts, store=store, **given)
votes["votes_by_prompt"].values.tolist()
"""


def chapter(root):
    """Write a checkout whose chapter counts votes in three units."""
    new = nbformat.v4
    tagged = {"tags": ["parameters"]}
    cells = [
        new.new_markdown_cell("# Title"),
        new.new_code_cell('steps: int = 2\nstore: str = "votes"  # of units', metadata=tagged),
        new.new_code_cell(COUNT.strip()),
    ]
    return checkout(root, cells)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """What the page of the chapter shows if nobody stops it."""
    root = chapter(tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        execute(plan_page(root, find_chapter(root, "story"), {}))
    return outputs_of(root)


def outputs_of(root):
    """Return what the page of a chapter shows, without its footer, which tells the time."""
    cells = json.loads((root / "book" / "runs" / "story.ipynb").read_text())["cells"]
    return [{name: cell.get(name) for name in ("source", "outputs")} for cell in cells[:-1]]


def check_said(text, code, *words):
    lines = [line for line in text.splitlines() if line.strip()]
    assert "Traceback" not in text
    assert lines[-1].startswith(f"stopped by {WAYS[code]}: ")
    assert all(word in lines[-1] for word in words)


DAILY = (9, signal.SIGINT)
MOMENTS = [DAILY] + [
    pytest.param(point, number, marks=pytest.mark.full)
    for point in (1, 2, 4, 7, 9, 14, 22, 30, 35, 40)
    for number in CODES
    if (point, number) != DAILY
]


@pytest.mark.parametrize(("point", "number"), MOMENTS)
def test_a_chapter_stopped_while_it_computes_goes_on_to_the_same_page(
    page, tmp_path, monkeypatch, capsys, point, number
):
    root = chapter(tmp_path)
    monkeypatch.chdir(root)
    monkeypatch.setenv(STOP, json.dumps([point, number, os.getpid()]))
    code, _, err = run(monkeypatch, capsys, "run", "story")
    assert code == CODES[number]
    check_said(err, code, "the page is as it was; units in the store are kept")
    assert not (root / "book" / "runs" / "story.ipynb").exists()
    assert not any(one.is_alive() for one in active_children())
    kept = {path: path.stat().st_mtime_ns for path in root.glob("votes/*/ledger/*.npz")}
    monkeypatch.delenv(STOP)
    code, _, err = run(monkeypatch, capsys, "run", "story")
    assert code == 0, err
    assert outputs_of(root) == page
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


@pytest.mark.full
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("point", [1, 3, 5, 7])
def test_a_chapter_stopped_beside_its_kernel_leaves_no_page_or_a_whole_one(
    page, tmp_path, point, number
):
    root, log = chapter(tmp_path), tmp_path / "log"
    runs = root / "book" / "runs"
    given = {"prepare": partial(os.chdir, root)}
    code = run_command(["run", "story"], log, point, runs, number, **given)
    assert code in (0, CODES[number])
    if code:
        check_said(log.read_text(), code, "units in the store are kept")
    left = {path.name for path in runs.glob("*") if not path.name.startswith(".")}
    assert left <= {"story.ipynb"}
    if left:
        assert outputs_of(root) == page
    assert run_command(["run", "story"], log, **given) == 0
    assert outputs_of(root) == page


STOPPING = """
import os

from tests.faults import told_to_stop

EVENTS = [
    "builder-inited", "source-read", "doctree-read", "env-updated", "doctree-resolved",
    "html-page-context", "build-finished",
]
passed = 0


def count(*_):
    global passed
    passed += 1
    point, number, processes = told_to_stop()
    if passed == point:
        for process in processes:
            os.kill(process, number)


def setup(app):
    for event in EVENTS:
        app.connect(event, count)
"""


def book(root):
    """Write a checkout with a book of two pages, whose rendering stops where it is told to."""
    checkout(root)
    (root / "_config.yml").write_text(
        "title: x\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
        "sphinx: {local_extensions: {stopping: book/_ext}}\n"
    )
    (root / "book" / "_ext").mkdir(parents=True)
    (root / "book" / "_ext" / "stopping.py").write_text(STOPPING)
    (root / "book" / "index.md").write_text("# A book\n\nOf two pages.\n")
    (root / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - glob: runs/*\n"
    )
    return root


def rendered(root):
    """Return every page of a rendered book, and what its search knows."""
    pages = (root / "_build" / "html").rglob("*")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in pages
        if path.suffix == ".html" or path.name == "searchindex.js"
    }


def in_book(root, point=0, number=0):
    os.chdir(root)
    if point:
        tell_to_stop(point, number)


@pytest.fixture(scope="module")
def whole_book(tmp_path_factory):
    """A checkout whose chapter is executed, and its rendered book if nobody stops it."""
    root = book(tmp_path_factory.mktemp("book"))
    log = root / "log"
    code = run_command(["book", "--execute"], log, prepare=partial(in_book, root))
    assert code == 0, log.read_text()
    pages = rendered(root)
    assert "_build/html/runs/story.html" in pages
    shutil.rmtree(root / "_build")
    return root, pages


@pytest.mark.full
@pytest.mark.parametrize(
    ("point", "number"),
    [(n, number) for n, number in zip(range(1, 12), list(CODES) * 6, strict=False)],
)
def test_a_book_stopped_while_it_is_rendered_is_the_same_when_it_is_rendered_again(
    whole_book, tmp_path, point, number
):
    sources, pages = whole_book
    root, log = tmp_path / "book", tmp_path / "log"
    shutil.copytree(sources, root)
    code = run_command(["book"], log, prepare=partial(in_book, root, point, number))
    assert code == CODES[number]
    check_said(log.read_text(), code, "pages that were finished are kept")
    assert run_command(["book"], log, prepare=partial(in_book, root)) == 0, log.read_text()
    found = rendered(root)
    assert found.keys() == pages.keys()
    for name, content in found.items():
        assert content.decode().splitlines() == pages[name].decode().splitlines(), name


def in_small(folder):
    """Let a process make the result of a tiny study, from a tiny model, in a folder."""
    os.chdir(folder)
    registry.STUDIES = {"tiny": "tests.results.test_make:STUDY"}
    make.results_path = lambda: folder / "results"
    load.load = lambda *_, **__: tiny_sd()


@pytest.fixture(scope="module")
def whole_result(tmp_path_factory):
    """A result if nobody stops the command that makes it."""
    folder = tmp_path_factory.mktemp("result")
    assert run_command(["results"], folder / "log", prepare=partial(in_small, folder)) == 0
    return folder / "results"


RESULTS = [(point, n) for point in (1, 4, 9, 30, 80, 130, 180, 240, 300, 400) for n in CODES]


@pytest.mark.full
@pytest.mark.parametrize(("point", "number"), RESULTS)
def test_results_stopped_at_any_moment_are_the_same_when_they_are_made_again(
    whole_result, tmp_path, point, number
):
    folder, log = tmp_path / "there", tmp_path / "log"
    folder.mkdir()
    given = {"prepare": partial(in_small, folder)}
    code = run_command(["results"], log, point, folder, number, **given)
    assert code in (0, CODES[number])
    if code:
        check_said(log.read_text(), code, "finished work is kept")
    left = {path: path.stat().st_mtime_ns for path in folder.glob("runs/**/ledger/*.npz")}
    assert run_command(["results"], log, **given) == 0, log.read_text()
    assert all(path.stat().st_mtime_ns == time for path, time in left.items())
    results = folder / "results"
    # What is not finished is hidden.
    assert [path.name for path in results.iterdir() if path.name[0] != "."] == ["tiny"]
    same(read_dataset(results / "tiny" / DATA), read_dataset(whole_result / "tiny" / DATA))
    for path in sorted((whole_result / "tiny" / "images").rglob("*.png")):
        again = results / path.relative_to(whole_result)
        assert again.read_bytes() == path.read_bytes()
