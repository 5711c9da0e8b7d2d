import json
from pathlib import Path

import nbformat
import pytest

from hrvlab.errors import ParameterError, StoreError
from hrvlab.publish.chapters import (
    Chapter,
    find_chapter,
    find_chapters,
    find_checkout,
    find_scratch,
)
from tests.publish.chapters import checkout


def test_a_chapter_knows_its_title_and_parameters(tmp_path):
    chapter = find_chapter(checkout(tmp_path), "story")
    assert chapter.title == "Title"
    assert [p.name for p in chapter.parameters] == ["name", "count"]


def test_an_unknown_chapter_is_refused_with_a_list_of_chapters(tmp_path):
    with pytest.raises(ParameterError, match="no chapter 'tale'; there are: story"):
        find_chapter(checkout(tmp_path), "tale")


def test_the_checkout_is_found_from_a_folder_inside(tmp_path, monkeypatch):
    below = checkout(tmp_path) / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_checkout() == tmp_path
    assert list(find_chapters(tmp_path)) == ["story"]


def test_a_chapter_without_a_title_is_refused(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("no heading")]
    with pytest.raises(ParameterError, match="must begin with the line '# Title'"):
        _ = find_chapter(checkout(tmp_path, cells), "story").title


def test_two_cells_tagged_parameters_are_refused(tmp_path):
    tags = {"tags": ["parameters"]}
    cells = [nbformat.v4.new_code_cell("a: int = 1", metadata=tags) for _ in range(2)]
    with pytest.raises(ParameterError, match="has 2 cells tagged 'parameters'; keep one"):
        _ = find_chapter(checkout(tmp_path, cells), "story").parameters


@pytest.mark.parametrize("content", ["nothing", "[]", '{"cells": 3}'])
def test_a_file_that_is_not_a_notebook_is_named_in_the_error(tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content)
    with pytest.raises(StoreError, match=r"x\.ipynb is not a notebook"):
        Chapter.read(tmp_path / "x.ipynb")


def test_the_source_of_a_cell_is_one_text_however_it_is_stored(tmp_path):
    path = tmp_path / "x.ipynb"
    cells = [{"cell_type": "code", "metadata": {}, "source": s} for s in ("a\nb", ["a\n", "b"])]
    path.write_text(json.dumps({"cells": cells}))
    assert [cell["source"] for cell in Chapter.read(path).cells] == ["a\nb"] * 2


def test_the_working_directory_of_another_book_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_config.yml").write_text("title: My thesis\n")
    monkeypatch.chdir(tmp_path)
    assert find_checkout() == Path(__file__).parents[2]


def test_scratch_notebooks_are_no_chapters(tmp_path):
    root = checkout(tmp_path)
    folder = root / "notebooks"
    story = (folder / "story.ipynb").read_text()
    (folder / "Untitled.ipynb").touch()
    (folder / "story-Copy1.ipynb").write_text(story)
    (folder / "thoughts.ipynb").write_text(story.replace("# Title", "Thoughts"))
    (folder / ".~story.ipynb").touch()
    (folder / "damaged.ipynb").touch()  # a chapter, for all that is known
    assert list(find_chapters(root)) == ["damaged", "story"]
    names = [path.name for path in find_scratch(root)]
    assert names == [".~story.ipynb", "Untitled.ipynb", "story-Copy1.ipynb", "thoughts.ipynb"]


@pytest.mark.parametrize("cell", [3, {}, {"cell_type": "code", "source": "x"}, {"source": 3}])
def test_a_cell_that_lacks_something_is_named(tmp_path, cell):
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(StoreError, match=r"x\.ipynb is not a notebook: cell 0 needs"):
        Chapter.read(tmp_path / "x.ipynb")
