import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import yaml

import hrvlab as hl
from hrvlab import cli
from hrvlab.cli.model import StageName
from hrvlab.miniature.recipe import STAGES
from hrvlab.relevance.io import write_published
from hrvlab.replication.verify import collect_as_published
from hrvlab.storage.datasets import read_dataset, read_tree
from tests.cli.commands import commands
from tests.pipelines import tiny_sd
from tests.publish.chapters import checkout

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_sd().save_pretrained(folder)
    return str(folder)


def run(monkeypatch, capsys, *arguments):
    """Run the command line in this process; return the exit code and both outputs."""
    monkeypatch.setattr(sys, "argv", ["hrvlab", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
        sys.exit(0)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.fixture
def hrvlab(monkeypatch, capsys):
    return lambda *arguments: run(monkeypatch, capsys, *arguments)


def never(*_, **__):
    raise AssertionError("a kernel was started")


def rendered(*_, **__):
    return SimpleNamespace(returncode=0)


@pytest.mark.parametrize("command", sorted({command for command, _ in commands()}))
def test_every_command_has_a_help_text(hrvlab, command):
    code, out, _ = hrvlab(*command.split(), "--help")
    assert code == 0
    assert f"Usage: hrvlab {command} " in out
    if command.startswith(("generate", "edit", "capture")):
        assert f"Example: hrvlab {command} -o " in out


def test_the_help_on_training_lists_every_stage_in_order():
    assert get_args(StageName) == tuple(STAGES)


def test_the_version_is_that_of_the_project_and_of_its_citation(hrvlab):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert hrvlab("--version")[1].strip() == declared
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == declared


def test_a_capture_is_written_as_a_dataset(hrvlab, model, tmp_path):
    code, out, _ = hrvlab(
        "capture", "-o", tmp_path / "c", "--prompt", "a red car", "-m", model, "--steps", 2
    )
    assert code == 0
    assert "captured prompt 1" in out
    expected = hl.capture(hl.load(model), "a red car", num_inference_steps=2)
    np.testing.assert_array_equal(read_dataset(tmp_path / "c")["image"], expected["image"])


def test_maps_of_words_are_captured_beside_the_means(hrvlab, model, tmp_path):
    prompts = ["--prompt", "a red car", "--prompt", "a car"]
    maps = ["--maps", "car", "--maps", "a", "--grids", 4]
    code, out, _ = hrvlab(
        "capture", "-o", tmp_path / "c", *prompts, *maps, "-m", model, "--steps", 2
    )
    assert code == 0
    assert "maps of car, a of grids 4: " in out
    found = read_tree(tmp_path / "c")
    expected = hl.capture(
        hl.load(model), ["a red car", "a car"], maps=["car", "a"], grids=4, num_inference_steps=2
    )
    assert list(found.children) == ["grid_4"]
    np.testing.assert_array_equal(found["grid_4"]["maps"], expected["grid_4"]["maps"])
    np.testing.assert_array_equal(read_dataset(tmp_path / "c")["image"], expected["image"])


def test_grids_without_words_are_refused(hrvlab, tmp_path):
    code, _, err = hrvlab("capture", "-o", tmp_path / "c", "--prompt", "a car", "--grids", 4)
    assert (code, "name words with --maps too" in err) == (1, True)


def test_vectors_are_stored_beside_their_votes(hrvlab, model, tmp_path):
    (tmp_path / "c.yaml").write_text("concepts: {Color: [red, blue], Animals: [cat, dog]}")
    (tmp_path / "p.txt").write_text("a red car\na cat\n")
    options = ["-m", model, "--prompts", tmp_path / "p.txt", "--concepts", tmp_path / "c.yaml"]
    code, _, _ = hrvlab("votes", "-o", tmp_path / "v", "--steps", 2, *options)
    assert code == 0
    (vectors,) = (tmp_path / "v").glob("*/relevance.zarr")
    hrv = hl.load_relevance(vectors)
    np.testing.assert_allclose(hrv.sum("head_position"), hrv.sizes["head_position"])


@pytest.mark.parametrize("command", ["capture", "record", "votes"])
def test_a_dry_run_tells_time_memory_and_bytes_and_writes_nothing(hrvlab, model, tmp_path, command):
    given = ["-m", model, "--prompt", "a red car", "--steps", 9, "--dry-run"]
    code, out, _ = hrvlab(command, "-o", tmp_path / "out", *given)
    assert code == 0
    assert re.search(
        r"^forecast: \d+ seconds \(10 denoiser calls of .* s\), .* on disk$", out, re.M
    )
    assert not list(tmp_path.iterdir())


def test_commands_load_and_generate_as_their_options_say(hrvlab, model, tmp_path):
    (tmp_path / "p.csv").write_text("long prompt,n\na red car,1\n")
    given = {
        "--scheduler": "ddim",
        "--guidance-scale": 2,
        "--height": 24,
        "--width": 16,
        "--dtype": "bfloat16",
    }
    given |= {"--prompts": tmp_path / "p.csv", "--column": "long prompt", "--offload": "model"}
    options = [text for pair in given.items() for text in pair]
    out = tmp_path / "a.zarr"
    code, _, err = hrvlab("capture", "-o", out, "-m", model, "--steps", 2, "--tiling", *options)
    assert code == 0, err
    captured = read_dataset(out)
    assert captured["image"].shape == (1, 24, 16, 3)
    about = {name: captured.attrs[name] for name in ("scheduler", "guidance_scale", "dtype")}
    assert about == {"scheduler": "DDIMScheduler", "guidance_scale": 2.0, "dtype": "bfloat16"}
    assert captured["prompt_text"].values.tolist() == ["a red car"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "a", "-m", "nothing"], "unknown model 'nothing'; give 'miniature'"),
        ([], "give either --prompt, once or more, or --prompts"),
        (["--prompts", "nowhere.txt"], "there are no prompts 'nowhere.txt'"),
        (["--prompt", "a", "--cluster", "nowhere"], "there is no dask scheduler at 'nowhere'"),
        (["--prompt", "a", "--cluster", "h:1", "--device", "cpu"], "leave out --device"),
        (
            ["--prompt", "a", "--scheduler", "tcp://h:1"],
            "give the address of dask's as --cluster tcp://h:1",
        ),
        (["--prompt", "a", "--offload", "all"], "unknown offload 'all'; give 'none', 'model'"),
        (["--prompt", "a", "--lora", "a.safetensors:nan"], "cannot read the LoRA"),
        (
            ["--prompt", "a", "--height", "100", "--width", "8"],
            "height is 100; give a multiple of 8",
        ),
        (["--prompt", "a", "--guidance-scale", "nan"], "guidance_scale is nan; give a number"),
        (["--prompt", "a", "--column", "b"], "--column is of a file of prompts"),
        (["--prompt", "a", "--device", "gpu"], "unknown device 'gpu'; give 'cpu', 'cuda', 'mps'"),
        (["--prompt", "a", "--concepts", "nothing"], "there are no concepts 'nothing'"),
        (["--prompt", " "], "prompt 0 is ' '; give a text with words"),
    ],
)
def test_bad_input_gives_one_line_that_says_what_would_be_right(
    hrvlab, model, tmp_path, arguments, message
):
    named = [] if "-m" in arguments else ["-m", model]
    code, out, err = hrvlab("votes", "-o", tmp_path / "v", *named, *arguments)
    assert code == 1
    assert not out
    *_, line = err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_model_is_verified_against_published_vectors(hrvlab, tmp_path):
    many_heads = tiny_sd(heads=(8, 16))
    many_heads.save_pretrained(tmp_path / "model")
    concepts = hl.ConceptSet.read("published")
    published = tmp_path / "category_vectors_mine.npy"
    prompts = [f"a {color} {noun}" for color in ("red", "blue") for noun in ("car", "cat", "dog")]
    (tmp_path / "p.txt").write_text("\n".join([*prompts, "a tree", "a rose vase"]))
    votes = collect_as_published(many_heads, concepts, prompts, seed=1, progress=False).data
    write_published(votes.hrv.relevance(), tmp_path, "mine")
    options = ["--prompts", tmp_path / "p.txt", "-o", tmp_path / "v", "--published", published]
    code, out, _ = hrvlab("verify", tmp_path / "model", *options, "--batch-size", 8)
    assert code == 0, out
    assert "passed, same: all" in out
    (report,) = (tmp_path / "v").glob("*/report.md")
    assert str(report) in out
    assert report.read_text().startswith("# Passed: same")
    np.save(published, np.load(published)[:, ::-1])
    code, out, _ = hrvlab("verify", tmp_path / "model", *options, "--batch-size", 8)
    assert code == 1
    assert "FAILED, " in out
    assert report.read_text().startswith("# Failed: ")


def test_too_few_prompts_to_verify_are_refused_before_the_model_is_loaded(hrvlab, tmp_path):
    (tmp_path / "p.txt").write_text("a red car")
    code, _, err = hrvlab("verify", "no/model", "--prompts", tmp_path / "p.txt")
    assert code == 1
    assert "1 prompts are too few to split; give 8 or more" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("category_vectors_mine.npy", "head_index_mine.npy: there is no such file"),
        ("mine.npy", "mine.npy has no category_vectors in its name; give category_vectors"),
    ],
)
def test_published_vectors_are_looked_for_before_the_model_is_loaded(
    hrvlab, tmp_path, name, message
):
    (tmp_path / name).touch()
    code, _, err = hrvlab("verify", "no/model", "--published", tmp_path / name)
    assert code == 1
    assert message in err


def test_only_an_assembled_miniature_is_trained_further(hrvlab, tmp_path):
    code, _, err = hrvlab("model", "train", "--from", tmp_path, "--folder", tmp_path / "work")
    assert code == 1
    assert "has no training.json: pass a miniature assembled by this recipe" in err
    assert not (tmp_path / "work").exists()


def test_a_capture_overwrites_nothing(hrvlab, model, tmp_path):
    code, _, err = hrvlab("capture", "-o", tmp_path, "--prompt", "a cat", "-m", model)
    assert code == 1
    assert "already exists; remove it" in err


def test_the_parameters_of_a_chapter_are_listed(hrvlab, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout(tmp_path))
    code, out, _ = hrvlab("run", "story", "--help-parameters")
    assert code == 0
    assert all(word in out for word in ("Title", "count", "int", "how many"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tale"], "there is no chapter 'tale'; there are: story"),
        (["story", "-p", "cuont=3"], "has no parameter 'cuont'; valid names: name, count"),
        (["story", "-p", "count=many"], "count must be int, got 'many'"),
        (["story", "-f", "none.yml"], "cannot read the parameter file none.yml"),
        (["story", "-p", "count"], "cannot read the parameter 'count'; write name=value"),
        (["story", "--name", "../x"], "'../x' cannot be the name of a run"),
    ],
)
def test_a_run_with_bad_arguments_creates_nothing_and_starts_no_kernel(
    hrvlab, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(checkout(tmp_path))
    monkeypatch.setattr("hrvlab.publish.runs.execute_cells", never)
    code, _, err = hrvlab("run", *arguments)
    assert code == 1
    assert message in " ".join(err.split())
    assert not (tmp_path / "book").exists()


def test_a_page_is_executed_once(hrvlab, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout(tmp_path))
    arguments = ["run", "story", "-p", "count=3", "--name", "three"]
    page = tmp_path / "book" / "runs" / "story" / "three.ipynb"
    assert f"executed: {page}" in hrvlab(*arguments)[1]
    assert page.is_file()
    monkeypatch.setattr("hrvlab.publish.runs.execute_cells", never)
    code, out, _ = hrvlab(*arguments)
    assert code == 0
    assert f"unchanged: {page}" in out


def test_a_page_that_takes_the_place_of_another_says_so(hrvlab, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout(tmp_path))
    monkeypatch.setattr("hrvlab.publish.runs.execute_cells", lambda notebook, *_: notebook)
    said = [
        hrvlab("run", "story", "-p", f"count={count}", "--name", "mine", "-o", tmp_path / "pages")[
            1
        ]
        for count in (3, 4)
    ]
    page = tmp_path / "pages" / "book" / "runs" / "story" / "mine.ipynb"
    assert f"executed: {page}" in said[0]
    assert f"replaced: {page}" in said[1]
    assert not (tmp_path / "book").exists()


def test_the_book_is_made_of_chapters_and_scratch_notebooks_are_left_out(
    hrvlab, tmp_path, monkeypatch
):
    root = checkout(tmp_path / "checkout")
    (root / "notebooks" / "Untitled.ipynb").touch()
    (root / "book").mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setattr("hrvlab.publish.runs.execute_cells", lambda notebook, *_: notebook)
    monkeypatch.setattr("hrvlab.publish.book.subprocess.run", rendered)
    code, out, _ = hrvlab("book", "--execute", "--output", tmp_path / "mine")
    assert code == 0
    assert f"left out: {root / 'notebooks' / 'Untitled.ipynb'}, which is no chapter" in out
    assert f"executed: {tmp_path / 'mine' / 'book' / 'runs' / 'story.ipynb'}" in out
    assert f"open {tmp_path / 'mine' / '_build' / 'html' / 'index.html'}" in out


def test_warnings_of_the_book_are_an_error(hrvlab, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout(tmp_path))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (tmp_path / "book" / "index.md").write_text("# Title\n\n[nowhere](nowhere.md)\n")
    code, _, err = hrvlab("book")
    assert code == 1
    assert "the book has" in err


@pytest.mark.parametrize("command", ["results", "check-results"])
def test_an_unknown_study_is_refused_with_a_list_of_studies(hrvlab, command):
    code, _, err = hrvlab(command, "astrology")
    assert code == 1
    assert "there is no study astrology; give some of: votes" in err


def test_a_recorded_pool_answers_at_the_command_line(hrvlab, model, tmp_path):
    options = ["-m", model, "--prompt", "a red car", "--prompt", "a cat", "--steps", 4]
    code, out, _ = hrvlab("record", "-o", tmp_path / "pools", *options)
    assert code == 0
    pool = out.split(": ")[-1].strip()
    code, out, _ = hrvlab("ask", pool, "--concept", "Cars: car, red car", "-m", model, "--count", 3)
    assert code == 0
    assert "heads that look at Cars" in out
    assert len(re.findall(r"^ *(?:down|mid|up), layer: \d, head: \d", out, re.M)) == 3
    code, out, _ = hrvlab("ask", tmp_path / "pools", "--head", "up, layer: 0, head: 1")
    assert code == 0
    assert re.search(r"^ *\w+ +\d+\.\d% +\d+\.\d% to \d+\.\d%", out, re.M)
    code, _, err = hrvlab("ask", pool, "--concept", "qwertyish")
    assert code == 1
    assert "words beyond its vocabulary need the model's text encoder" in err
