"""A page is forecast with its own parameters, and nothing is executed."""

from pathlib import Path

import pytest

from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import plan_page
from hrvlab.publish.rehearsal import rehearse_page
from tests.notebooks.smallest import smallest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    return smallest(tmp_path_factory.mktemp("smallest"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("relevance", []),
        ("steering", ["votes of 4 prompts", "images"]),
        ("weakening", ["votes of 4 prompts", "heads weakened in order", "every head", "a capture"]),
    ],
)
def test_a_page_is_forecast_by_all_that_it_computes(parameters, tmp_path, name, parts):
    chapter = find_chapter(ROOT, name)
    page = plan_page(ROOT, chapter, parameters[name], "mine", output=tmp_path)
    first, *others = rehearse_page(page).splitlines()
    assert first.startswith(f"{name}, mine: ")
    assert "denoiser calls of" in first
    if parts:
        *others, last = others
        assert "finished work in the store is not done again" in last
    assert len(others) == len(parts)
    assert all(line.startswith(f"  {part}") for line, part in zip(others, parts, strict=True))
    assert not list(tmp_path.iterdir())
