import json

import pytest

from hrvlab.errors import ParameterError, StoreError
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import check_output, name_run, page_path, plan_page
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
    page.path.write_text(json.dumps({"cells": [], "metadata": {"hrvlab": page.mark}}))
    assert page.finished
    assert not plan_page(root, chapter, {"count": 3}, "default").finished
    page.path.write_text("{")
    assert not page.finished


def test_runs_are_named_after_the_parameters_that_they_change(chapter):
    default = {"name": "x", "count": 2}
    assert name_run(chapter, default) is None
    assert name_run(chapter, {**default, "count": 3}).startswith("count-3-")
    long = {name_run(chapter, {**default, "name": "y" * 60 + end}) for end in "ab"}
    assert len(long) == 2


def test_the_page_of_the_default_run_is_above_those_of_others(root, chapter):
    assert page_path(root, chapter, None) == root / "book" / "runs" / "story.ipynb"
    assert page_path(root, chapter, "b") == root / "book" / "runs" / "story" / "b.ipynb"


def test_a_page_that_cannot_be_read_is_not_finished(root, chapter):
    page = plan_page(root, chapter, {})
    page.path.parent.mkdir(parents=True)
    for content in ("[]", '{"cells": []}', '{"metadata": []}', ""):
        page.path.write_text(content)
        assert not page.finished
    page.path.unlink()
    page.path.mkdir()
    assert not page.finished


@pytest.mark.parametrize("given", [{}, {"count": 5}])
def test_no_run_takes_the_place_of_the_page_of_the_chapter_as_it_is(root, chapter, given):
    own = plan_page(root, chapter, {})
    named = plan_page(root, chapter, given, "default")
    assert named.path == own.path.parent / "story" / "default.ipynb"
    assert named.path != own.path


def test_names_may_have_letters_of_any_language(root, chapter):
    assert plan_page(root, chapter, {}, "café").path.name == "café.ipynb"


def test_pages_go_to_the_folder_given_and_chapters_work_in_their_checkout(
    root, chapter, tmp_path, monkeypatch
):
    monkeypatch.chdir(root / "notebooks")
    page = plan_page(root, chapter, {}, output=tmp_path / "mine")
    assert page.path == tmp_path / "mine" / "book" / "runs" / "story.ipynb"
    assert page.folder == root
    outside = tmp_path.parent
    monkeypatch.chdir(outside)
    assert plan_page(root, chapter, {}).folder == outside


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_a_folder_that_cannot_be_written_is_told_with_a_way_out(tmp_path, monkeypatch, kind):
    folder = tmp_path / "runs"
    if kind == "file":
        folder.touch()
    else:
        # As root, who runs these tests on some machines, every folder can be written.
        monkeypatch.setattr("hrvlab.storage.atomic.write_whole", read_only)
    with pytest.raises(
        StoreError, match="cannot write .*runs: .*; choose a folder .* and give it with --output"
    ):
        check_output(folder)


def read_only(*_):
    raise PermissionError(13, "Permission denied")
