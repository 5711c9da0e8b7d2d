"""What a chapter is forecast to compute is what it computes."""

from pathlib import Path

import pytest
from diffusers import UNet2DConditionModel
from torch.nn.modules.module import register_module_forward_pre_hook

from hrvlab.publish.chapter_work import CHAPTERS, work_of
from hrvlab.publish.chapters import Chapter, find_chapters
from hrvlab.rehearsal import together
from tests.notebooks.smallest import smallest

ROOT = Path(__file__).parents[2]
FOUND = find_chapters(ROOT)
CLOSE = 1.5


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    return smallest(tmp_path_factory.mktemp("smallest"))


def test_every_chapter_is_known():
    assert CHAPTERS.keys() == FOUND.keys()


def values_of(name, parameters):
    """Return the smallest values of all parameters of a chapter."""
    defaults = {one.name: one.default for one in Chapter.read(FOUND[name]).parameters}
    return defaults | parameters[name]


def execute(chapter, values):
    """Execute a chapter's code here, and return the number of calls of any UNet."""
    calls = []

    def count(module, _):
        if isinstance(module, UNet2DConditionModel):
            calls.append(1)

    handle = register_module_forward_pre_hook(count)
    shown = dict(values)
    for cell in chapter.cells:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "parameters" not in tags:
            exec(cell["source"], shown)
    handle.remove()
    return len(calls)


@pytest.mark.full
@pytest.mark.parametrize("name", FOUND)
def test_calls_and_bytes_of_a_chapter_are_forecast(parameters, tmp_path, name):
    chapter, values = Chapter.read(FOUND[name]), values_of(name, parameters)
    if "store" in values:
        values["store"] = str(tmp_path)
    works = work_of(name, values)
    rehearsed = {work.rehearse: work.rehearse() for work in works}
    forecast = together([rehearsed[work.rehearse] for work in works])
    assert not list(tmp_path.iterdir())
    made = execute(chapter, values)
    assert made / CLOSE < forecast.calls < made * CLOSE
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written / CLOSE <= forecast.written <= written * CLOSE


def test_of_a_chapter_that_is_not_ours_votes_and_captures_are_known(parameters):
    for name, known in (("weakening", "votes of 4 prompts"), ("capture", "a capture")):
        (work,) = work_of("mine", values_of(name, parameters))
        assert work.name == known
    assert work_of("mine", {"seed": 0}) == []
