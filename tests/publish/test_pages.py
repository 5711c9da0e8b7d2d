import json

import pytest

from hrvlab.errors import ParameterError
from hrvlab.publish import pages
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import name_run, page_path, plan_page, run_hash
from tests.publish.chapters import checkout


@pytest.fixture
def root(tmp_path):
    return checkout(tmp_path)


@pytest.fixture
def chapter(root):
    return find_chapter(root, "story")


@pytest.mark.parametrize(
    ("given", "message"),
    [({"cuont": 3}, "no parameter 'cuont'"), ({"count": "3"}, "count must be int, got '3'")],
)
def test_a_page_with_bad_parameters_is_not_planned(root, chapter, given, message):
    with pytest.raises(ParameterError, match=message):
        plan_page(root, chapter, given)


def test_a_name_that_would_leave_the_folder_is_refused(root, chapter):
    with pytest.raises(ParameterError, match="cannot be the name of a run"):
        plan_page(root, chapter, {}, name="../x")


def test_planning_creates_nothing(root, chapter):
    page = plan_page(root, chapter, {"count": 3}, "three")
    assert page.values == {"name": "x", "count": 3}
    assert not page.finished
    assert not (root / "book").exists()


@pytest.mark.parametrize("key", [{}, {"hrvlab": "another"}])
def test_a_page_is_finished_only_if_it_was_made_from_the_same_inputs(root, chapter, key):
    page = plan_page(root, chapter, {})
    page.path.parent.mkdir(parents=True)
    page.path.write_text(json.dumps({"cells": [], "metadata": key}))
    assert not page.finished
    page.path.write_text(json.dumps({"cells": [], "metadata": {"hrvlab": page.key}}))
    assert page.finished
    assert not plan_page(root, chapter, {"count": 3}, "default").finished
    page.path.write_text("{")
    assert not page.finished


def test_runs_are_named_after_the_parameters_that_they_change(chapter):
    default = {"name": "x", "count": 2}
    assert name_run(chapter, default) == "default"
    assert name_run(chapter, {**default, "count": 3}).startswith("count-3-")
    long = {name_run(chapter, {**default, "name": "y" * 60 + end}) for end in "ab"}
    assert len(long) == 2


def test_the_page_of_the_default_run_is_above_those_of_others(root, chapter):
    assert page_path(root, chapter, "default") == root / "book" / "runs" / "story.ipynb"
    assert page_path(root, chapter, "b") == root / "book" / "runs" / "story" / "b.ipynb"


def test_the_hash_depends_on_notebook_values_and_the_files_they_name(root, chapter, tmp_path):
    values = {"name": str(tmp_path / "words.txt"), "count": 2}
    seen = {run_hash(chapter, values), run_hash(chapter, {**values, "count": 3})}
    for words in ("a", "b"):
        (tmp_path / "words.txt").write_text(words)
        seen.add(run_hash(chapter, values))
    chapter.cells[0]["source"] += "!"
    seen.add(run_hash(chapter, values))
    assert len(seen) == 5


def test_the_hash_depends_on_every_data_file_even_of_equal_names(chapter, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "data_path", lambda: tmp_path)
    seen = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for content in ("old", "new"):
            (tmp_path / folder / "model").write_text(content)
            seen.add(run_hash(chapter, {}))
    assert len(seen) == 4
