from pathlib import Path

import nbformat
import papermill
import pytest

from hrvlab.publish.chapters import Chapter, find_chapters
from hrvlab.relevance import published
from hrvlab.relevance.facts import check_facts
from tests.notebooks.smallest import FIGURES, smallest
from tests.published_arrays import write_arrays

ROOT = Path(__file__).parents[2]
CHAPTERS = find_chapters(ROOT)
FIGURE = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    return smallest(tmp_path_factory.mktemp("chapters"))


def test_all_chapters_are_tested():
    assert set(CHAPTERS) == set(FIGURES)


@pytest.mark.parametrize("name", CHAPTERS)
def test_sources_carry_no_outputs(name):
    cells = Chapter.read(CHAPTERS[name]).notebook.cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_parameter_is_typed_and_explained(name):
    assert all(parameter.help for parameter in Chapter.read(CHAPTERS[name]).parameters)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_defines_no_functions(name):
    cells = Chapter.read(CHAPTERS[name]).notebook.cells
    assert not any(word in cell.source for cell in cells for word in ("def ", "class ", "lambda"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_on_any_pipeline_folder(name, parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    output = tmp_path / "executed.ipynb"
    papermill.execute_notebook(
        CHAPTERS[name], output, parameters[name], kernel_name="python3", progress_bar=False
    )
    cells = nbformat.read(output, as_version=4).cells
    outputs = [out for cell in cells if cell.cell_type == "code" for out in cell.outputs]
    figures = [out for out in outputs if FIGURE in out.get("data", {})]
    assert len(figures) == FIGURES[name]
    assert all(out["data"][FIGURE]["data"] for out in figures)


def test_a_word_that_is_not_in_the_prompt_stops_the_chapter_before_it_draws(parameters, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="zebra"):
        papermill.execute_notebook(
            CHAPTERS["capture"],
            tmp_path / "failed.ipynb",
            {**parameters["capture"], "words": ["zebra"]},
            kernel_name="python3",
            progress_bar=False,
        )


def test_the_published_arrays_are_read_where_they_are(tmp_path, monkeypatch):
    """Outside papermill, so that arrays by chance may bear the published names."""
    monkeypatch.setattr(published, "SHA256", {})
    write_arrays(tmp_path)
    shown = {}
    for cell in Chapter.read(CHAPTERS["published"]).notebook.cells:
        if cell.cell_type == "code":
            source = cell.source.replace('arrays: str = ""', f"arrays: str = {str(tmp_path)!r}")
            exec(source, shown)
    assert list(shown["models"]) == ["Stable Diffusion 1.4", "SDXL"]
    assert shown["about"].startswith("Shown are the published arrays")
    assert all(fact.agrees is not None for fact in check_facts(shown["found"]))
