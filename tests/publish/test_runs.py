import nbformat
import pytest

from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import plan_page
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
    execute(planned)
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
