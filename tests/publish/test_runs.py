import json
import os
import re
import signal
import time
from threading import Thread

import nbformat
import pytest

from hrvlab.errors import StoreError
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import plan_page
from hrvlab.publish.queue import make_all
from hrvlab.publish.runs import RunError, clean, execute, prepare
from tests.publish.chapters import checkout


@pytest.fixture
def root(tmp_path):
    return checkout(tmp_path)


@pytest.fixture
def chapter(root):
    return find_chapter(root, "story")


def test_a_run_becomes_a_page_that_is_finished_until_its_inputs_change(root, chapter):
    planned = plan_page(root, chapter, {"count": 3})
    assert not planned.finished
    assert not execute(planned)  # nothing is replaced
    page = nbformat.read(planned.path, as_version=4)
    assert page.cells[0].source.startswith("# Title: count-3")
    assert "count: int = 3  # how many" in page.cells[1].source
    assert page.cells[2].outputs[-1]["data"]["text/plain"] == "'xxx'"
    assert "How this page was made" in page.cells[3].outputs[0]["data"]["text/html"]
    assert list(planned.path.parent.iterdir()) == [planned.path]
    # A failure leaves an existing page as it was.
    failing = plan_page(root, chapter, {"name": "fail"}, name=planned.name)
    with pytest.raises(RunError, match="ParameterError: there is no such name; the notebook up"):
        execute(failing)
    assert nbformat.read(planned.path, as_version=4) == page
    assert plan_page(root, chapter, {"count": 3}).finished
    assert not failing.finished


def test_a_chapter_needs_no_model_and_says_what_it_replaces(tmp_path):
    new = nbformat.v4
    look = "import os\n\nprint(os.listdir(folder))"
    tagged = {"tags": ["parameters"]}
    cells = [
        new.new_markdown_cell("# Title"),
        new.new_code_cell('folder: str = ""  # of pages\ndrink: str = "tea"', metadata=tagged),
        new.new_code_cell(look),
    ]
    chapter = find_chapter(checkout(tmp_path, cells), "story")
    folder = tmp_path / "book" / "runs" / "story"
    planned = plan_page(tmp_path, chapter, {"folder": str(folder), "drink": "café"}, "mine")
    assert not execute(planned)
    page = nbformat.read(planned.path, as_version=4)
    # Until a page is finished, nothing is there that another job of its name could touch.
    assert page.cells[2].outputs[0]["text"] == "[]\n"
    assert "café" in page.cells[-1].outputs[0]["data"]["text/html"]
    assert execute(planned)


def test_a_chapter_that_is_left_early_is_not_finished(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("import sys\n\nsys.exit()"),
        nbformat.v4.new_code_cell("1"),
    ]
    planned = plan_page(tmp_path, find_chapter(checkout(tmp_path, cells), "story"), {})
    with pytest.raises(RunError, match=r"chapter 'story' failed: code cell 1 \(import sys\) left"):
        execute(planned)
    assert not planned.path.exists()
    assert planned.path.with_suffix(".partial.ipynb").exists()


def test_a_notebook_that_is_not_valid_is_told_in_one_line(root):
    path = root / "notebooks" / "story.ipynb"
    content = json.loads(path.read_text())
    content["cells"][1]["outputs"] = 3
    path.write_text(json.dumps(content))
    planned = plan_page(root, find_chapter(root, "story"), {})
    with pytest.raises(StoreError, match="the notebook of chapter 'story' is not valid: "):
        execute(planned)


@pytest.mark.parametrize("prompt", ["a `red` car", "a $5 car"])
def test_texts_of_users_are_shown_as_they_are(root, chapter, prompt):
    heading = prepare(plan_page(root, chapter, {"name": prompt}, "other")).cells[0].source
    marks = "``" if "`" in prompt else "`"
    assert re.search(rf"{marks} ?name = '{re.escape(prompt)}' ?{marks}", heading)


def test_preparing_leaves_the_chapter_unchanged(root, chapter):
    prepared = prepare(plan_page(root, chapter, {"name": "y", "count": 5}, "other"))
    assert prepared.cells[0].source.startswith("# Title: other\n\nThis run sets `name = 'y'`, ")
    assert chapter == find_chapter(root, "story")


def test_a_page_keeps_no_live_widgets_and_no_timings():
    widget = nbformat.v4.new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"}
    )
    text = nbformat.v4.new_output("display_data", data={"text/plain": "y"})
    cell = nbformat.v4.new_code_cell(outputs=[widget, text], metadata={"execution": {"a": "b"}})
    page = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}, "papermill": {}})
    clean(page)
    assert page.cells[0].outputs == [text]
    assert page.cells[0].metadata == {}
    assert page.metadata == {}


WAIT = """
from pathlib import Path
from time import sleep

Path({mine!r}).touch()
for _ in range(200):
    if not Path({other!r}).exists():
        sleep(0.1)
print(Path({other!r}).exists())
"""


def test_two_chapters_are_executed_side_by_side(tmp_path):
    files = [str(tmp_path / name) for name in ("first", "second")]
    for number, mine in enumerate(files):
        code = WAIT.format(mine=mine, other=files[1 - number])
        cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell(code)]
        path = checkout(tmp_path, cells) / "notebooks" / "story.ipynb"
        path.rename(path.with_stem(f"story{number}"))
    pages = [plan_page(tmp_path, find_chapter(tmp_path, f"story{n}"), {}) for n in range(2)]
    make_all(pages, execute)
    for page in pages:
        cells = nbformat.read(page.path, as_version=4).cells
        assert cells[1].outputs[0]["text"] == "True\n"


STAY = """
from pathlib import Path
from time import sleep

Path({mine!r}).touch()
sleep(600)
"""


def test_stopping_does_not_wait_for_chapters_that_run(tmp_path):
    files = [tmp_path / "first", tmp_path / "second"]
    for number, mine in enumerate(files):
        cells = [
            nbformat.v4.new_markdown_cell("# Title"),
            nbformat.v4.new_code_cell(STAY.format(mine=str(mine))),
        ]
        path = checkout(tmp_path, cells) / "notebooks" / "story.ipynb"
        path.rename(path.with_stem(f"story{number}"))

    def stop():
        while not all(file.exists() for file in files):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    pages = [plan_page(tmp_path, find_chapter(tmp_path, f"story{n}"), {}) for n in range(2)]
    Thread(target=stop, daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        make_all(pages, execute)
    assert time.monotonic() - begun < 60
    assert not any(page.path.exists() for page in pages)


def test_a_page_keeps_the_explorer_as_an_element_and_drops_its_widget():
    data = {
        "application/vnd.jupyter.widget-view+json": {},
        "text/html": '<div class="hrvlab-atlas"></div>',
        "text/plain": "atlas",
    }
    shown = nbformat.v4.new_output("display_data", data=data)
    cell = nbformat.v4.new_code_cell(outputs=[shown])
    (kept,) = clean(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs
    assert set(kept.data) == {"text/html", "text/plain"}
