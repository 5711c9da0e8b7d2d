from pathlib import Path

import nbformat
import papermill
import pytest

from hrvlab.publish.chapters import Chapter, find_chapters
from tests.pipelines import tiny_sd

ROOT = Path(__file__).parents[2]
CHAPTERS = find_chapters(ROOT)
FIGURE = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    """The smallest parameters of every chapter, on another model than the shipped one."""
    folder = tmp_path_factory.mktemp("chapters")
    tiny_sd().save_pretrained(folder / "model")
    (folder / "concepts.yaml").write_text("concepts: {Color: [red, blue], Animals: [cat, dog]}")
    (folder / "prompts.txt").write_text("a red car\na blue cat\na dog\na tree\n")
    model = {"model": str(folder / "model"), "steps": 2}
    return {
        "capture": {**model, "prompt": "a red car"},
        "relevance": {
            **model,
            "concepts": str(folder / "concepts.yaml"),
            "prompts": str(folder / "prompts.txt"),
            "batch_size": 2,
            "store": str(folder / "votes"),
        },
    }


@pytest.mark.parametrize("name", CHAPTERS)
def test_sources_carry_no_outputs(name):
    cells = Chapter.read(CHAPTERS[name]).notebook.cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_parameter_is_typed_and_explained(name):
    parameters = Chapter.read(CHAPTERS[name]).parameters
    assert parameters[0].name == "model"
    assert all(parameter.help for parameter in parameters)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_defines_no_functions(name):
    cells = Chapter.read(CHAPTERS[name]).notebook.cells
    assert not any(word in cell.source for cell in cells for word in ("def ", "class ", "lambda"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_on_any_pipeline_folder(name, smallest, tmp_path, monkeypatch):
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    output = tmp_path / "executed.ipynb"
    papermill.execute_notebook(
        CHAPTERS[name], output, smallest[name], kernel_name="python3", progress_bar=False
    )
    cells = nbformat.read(output, as_version=4).cells
    outputs = [out for cell in cells if cell.cell_type == "code" for out in cell.outputs]
    figures = [out for out in outputs if FIGURE in out.get("data", {})]
    source = "".join(cell.source for cell in cells)
    assert len(figures) == {"capture": 4, "relevance": 6}[name]
    assert all(out["data"][FIGURE]["data"] for out in figures)
    assert "pipe = load(model)" in source


def test_a_word_that_is_not_in_the_prompt_stops_the_chapter_before_it_draws(smallest, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="zebra"):
        papermill.execute_notebook(
            CHAPTERS["capture"],
            tmp_path / "failed.ipynb",
            {**smallest["capture"], "words": ["zebra"]},
            kernel_name="python3",
            progress_bar=False,
        )
