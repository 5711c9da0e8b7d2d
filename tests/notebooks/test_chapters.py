import ast
import re
from pathlib import Path

import pytest

from hrvlab.options import HELP, GenerationOptions, LoadOptions
from hrvlab.publish.chapters import Chapter, find_chapters
from hrvlab.replication import arrays
from hrvlab.replication.checks import check_facts
from tests.notebooks.smallest import FIGURES
from tests.pipelines import tiny_sd
from tests.replication.published_arrays import write_arrays

ROOT = Path(__file__).parents[2]
CHAPTERS = find_chapters(ROOT)
USERS = re.compile(r"hrvlab(\.(atlas|figures|results|widgets|experiments\.\w+))?")
LOADING = ("dtype", "device", "variant", "config", "lora", "offload", "scheduler")
# Two chapters are about vectors themselves, one about the shipped files.
INSIDE = {
    "relevance": {"hrvlab.relevance.similarity", "hrvlab.relevance.uncertainty"},
    "replication": {
        "hrvlab.relevance.similarity",
        "hrvlab.relevance.uncertainty",
        "hrvlab.replication.checks",
        "hrvlab.replication.arrays",
    },
    "miniature": {"hrvlab.models.load", "hrvlab.paths"},
}


def test_all_chapters_are_tested():
    assert set(CHAPTERS) == set(FIGURES)


@pytest.mark.parametrize("name", CHAPTERS)
def test_sources_carry_no_outputs(name):
    cells = Chapter.read(CHAPTERS[name]).cells
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_parameter_is_typed_and_explained(name):
    assert all(parameter.help for parameter in Chapter.read(CHAPTERS[name]).parameters)


@pytest.mark.parametrize("name", sorted({*CHAPTERS} - {"miniature"}))
def test_a_chapter_takes_the_options_of_loading_and_generating(name):
    chapter = Chapter.read(CHAPTERS[name])
    taken = {one.name: one for one in chapter.parameters}
    for option in (*LOADING, "guidance_scale", "height", "width"):
        expected = vars(LoadOptions()) | vars(GenerationOptions())
        default = [] if option == "lora" else expected[option]
        assert (taken[option].default, taken[option].help) == (default, HELP[option])
    assert ("column" in taken) == ("prompts" in taken)
    code = "".join(cell["source"] for cell in chapter.cells if cell["cell_type"] == "code")
    assert all(f"    {option}={option},\n" in code for option in LOADING)
    assert "GenerationOptions(steps, guidance_scale, height, width" in code


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_notebook_defines_no_functions(name):
    cells = Chapter.read(CHAPTERS[name]).cells
    assert not any(
        word in cell["source"] for cell in cells for word in ("def ", "class ", "lambda")
    )


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_imports_what_is_meant_for_users(name):
    found = set()
    for cell in Chapter.read(CHAPTERS[name]).cells:
        if cell["cell_type"] == "code":
            found |= {
                node.module
                for node in ast.walk(ast.parse(cell["source"]))
                if isinstance(node, ast.ImportFrom) and node.module.startswith("hrvlab")
            }
    inside = {module for module in found if not USERS.fullmatch(module)}
    assert inside <= INSIDE.get(name, set())


def test_the_published_arrays_are_read_where_they_are(tmp_path, monkeypatch):
    """Without a kernel, so that random arrays may bear the published names."""
    monkeypatch.setattr(arrays, "SHA256", {})
    write_arrays(tmp_path)
    shown = {}
    for cell in Chapter.read(CHAPTERS["replication"]).cells:
        if cell["cell_type"] == "code":
            source = cell["source"].replace('arrays: str = ""', f"arrays: str = {str(tmp_path)!r}")
            exec(source, shown)
    assert list(shown["models"]) == ["Stable Diffusion 1.4", "SDXL"]
    assert shown["about"].startswith("Shown are the published arrays")
    assert all(fact.agrees is not None for fact in check_facts(shown["found"]))


def test_the_capture_of_a_long_prompt_maps_the_words_that_fit_and_names_the_others(
    tmp_path, capsys
):
    tiny_sd().save_pretrained(tmp_path)
    prompt = "a cat and " + 13 * "red " + "zebra and 猫"  # 16 of 18 tokens before the zebra
    source = f"model, prompt, words, seed, steps = {str(tmp_path)!r}, {prompt!r}, None, 0, 1"
    cells = Chapter.read(CHAPTERS["capture"]).cells
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    shown = {}
    exec(code[0], shown)
    exec(source, shown)
    exec(code[1], shown)
    assert shown["tree"]["grid_8"]["map_word"].values.tolist() == ["a", "cat", "and", "red"]
    assert shown["cut"] == ["zebra", "and", "猫"]
    assert "Markdown object" in capsys.readouterr().out
