import json

import nbformat
import pytest

from hrvlab.errors import ParameterError, StoreError
from hrvlab.publish.chapters import Chapter, find_chapter, find_chapters, find_checkout
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
