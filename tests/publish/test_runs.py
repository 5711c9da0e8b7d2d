import nbformat
import pytest

from hrvlab.errors import ParameterError
from hrvlab.publish import runs
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.runs import RunError, clean, execute, name_run, page_path, prepare, run_hash
from tests.publish.chapters import checkout


@pytest.fixture
def root(tmp_path):
    return checkout(tmp_path)


@pytest.fixture
def chapter(root):
    return find_chapter(root, "story")


def forbid_kernels(monkeypatch):
    def start(*_, **__):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr("papermill.execute_notebook", start)


def test_a_run_becomes_a_page_and_is_repeated_only_if_it_changed(root, chapter, monkeypatch):
    done = execute(root, chapter, {"count": 3})
    page = nbformat.read(done.page, as_version=4)
    assert not done.skipped
    assert page.cells[0].source.startswith("# Title: count-3")
    assert "count: int = 3  # how many" in page.cells[1].source
    assert page.cells[2].outputs[-1]["data"]["text/plain"] == "'xxx'"
    assert "How this page was made" in page.cells[3].outputs[0]["data"]["text/html"]
    assert list(done.page.parent.iterdir()) == [done.page]
    # A failure leaves an existing page as it was.
    with pytest.raises(RunError, match="ParameterError: there is no such name; the notebook up"):
        execute(root, chapter, {"name": "fail"}, name=done.page.stem)
    assert nbformat.read(done.page, as_version=4) == page
    forbid_kernels(monkeypatch)
    assert execute(root, chapter, {"count": 3}).skipped


@pytest.mark.parametrize(
    ("given", "message"),
    [({"cuont": 3}, "no parameter 'cuont'"), ({"count": "3"}, "count must be int, got '3'")],
)
def test_bad_parameters_fail_before_a_kernel_starts(root, chapter, monkeypatch, given, message):
    forbid_kernels(monkeypatch)
    with pytest.raises(ParameterError, match=message):
        execute(root, chapter, given)


def test_a_name_that_would_leave_the_folder_is_refused(root, chapter, monkeypatch):
    forbid_kernels(monkeypatch)
    with pytest.raises(ParameterError, match="cannot be the name of a run"):
        execute(root, chapter, {}, name="../x")


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
    chapter.notebook.cells[0].source += "!"
    seen.add(run_hash(chapter, values))
    assert len(seen) == 5


def test_the_hash_depends_on_every_data_file_even_of_equal_names(chapter, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "data_path", lambda: tmp_path)
    seen = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for content in ("old", "new"):
            (tmp_path / folder / "model").write_text(content)
            seen.add(run_hash(chapter, {}))
    assert len(seen) == 4


def test_preparing_leaves_the_chapter_unchanged(chapter):
    before = nbformat.writes(chapter.notebook)
    prepare(chapter, {"name": "y", "count": 5}, "other")
    assert nbformat.writes(chapter.notebook) == before


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
