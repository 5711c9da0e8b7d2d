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
    ("name", "expected"),
    [
        ("relevance", "votes of 4 prompts, unless they are in the store: "),
        ("capture", "capture: "),
        ("miniature", "it generates nothing that takes long"),
    ],
)
def test_a_page_is_forecast_by_what_it_collects(parameters, tmp_path, name, expected):
    chapter = find_chapter(ROOT, name)
    page = plan_page(ROOT, chapter, parameters.get(name, {}), "mine", output=tmp_path)
    line = rehearse_page(page)
    assert line.startswith(f"{name}, mine: {expected}")
    assert ("denoiser calls of" in line) == (name != "miniature")
    assert not list(tmp_path.iterdir())
