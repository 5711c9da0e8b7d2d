"""Disks that are full in the middle: what is kept is said, and the rerun gives the same."""

import errno
import os
import shutil

import nbformat
import pytest
from safetensors import SafetensorError

import hrvlab as hl
from hrvlab.errors import StoreError
from hrvlab.miniature import recipe
from hrvlab.miniature.processes import train_in_processes
from hrvlab.miniature.recipe import run_stages
from hrvlab.miniature.training import train
from hrvlab.publish.book import KEPT, render
from hrvlab.relevance.io import write_published
from hrvlab.replication.verify import collect_as_published
from hrvlab.results import make, registry
from hrvlab.results.make import make_result
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.units import DATA
from tests.cli.disks import disk
from tests.cli.short_runs import still_there
from tests.cli.test_stopped_chapters import chapter, outputs_of
from tests.cli.test_wrong_values import check_line
from tests.miniature.test_training import stage
from tests.pipelines import tiny_sd
from tests.publish.chapters import checkout
from tests.relevance.test_votes import same
from tests.results.test_make import STUDY
from tests.test_cli import run

FULL = pytest.mark.full
REASON = f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}"


def errors_in(err):
    return "\n".join(line for line in err.splitlines() if line.startswith("error"))


def units_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("ledger/*.npz")}


def on_full_disk(monkeypatch, capsys, folder, point, *arguments):
    """Run a command whose disk is full from a point on; return its error."""
    with disk.failing(folder, point):
        code, out, err = run(monkeypatch, capsys, *arguments)
    if code:
        check_line(code, errors_in(err), 1)
        assert "nothing was computed yet" not in err or not units_in(folder)
    else:
        assert disk.passed < point, out
    return errors_in(err)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The result of a tiny study."""
    folder = tmp_path_factory.mktemp("made")
    make_result(STUDY, tiny_sd(), folder / "work", folder / "results")
    return folder / "results"


@pytest.fixture
def small(tmp_path, monkeypatch, made):
    """A folder in which `results` and `check-results` have a tiny study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "STUDIES", {"tiny": "tests.results.test_make:STUDY"})
    monkeypatch.setattr(make, "results_path", lambda: tmp_path / "results")
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: tiny_sd())
    shutil.copytree(made, tmp_path / "results")
    return tmp_path


LATER = (1, 2, 3, 5, 8, 20, 80, 120, 160, 200)


@pytest.mark.parametrize("point", [40, *[pytest.param(point, marks=FULL) for point in LATER]])
def test_results_keep_their_units_and_the_earlier_result(small, monkeypatch, capsys, made, point):
    on_full_disk(monkeypatch, capsys, small, point, "results")
    same(read_dataset(small / "results" / "tiny" / DATA), read_dataset(made / "tiny" / DATA))
    finished = units_in(small / "runs")
    code, _, err = run(monkeypatch, capsys, "results")
    assert code == 0, err
    assert still_there(finished)
    assert {path.name for path in (small / "results").iterdir()} == {"tiny"}
    same(read_dataset(small / "results" / "tiny" / DATA), read_dataset(made / "tiny" / DATA))


@pytest.mark.parametrize("point", [6, *[pytest.param(p, marks=FULL) for p in (1, 2, 3, 9, 12)]])
def test_a_check_of_results_says_that_temporary_files_cannot_be_written(
    small, monkeypatch, capsys, point
):
    (small / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(small / "tmp"))
    said = on_full_disk(monkeypatch, capsys, small / "tmp", point, "check-results")
    assert f"error: temporary files cannot be written ({REASON}" in said
    assert "none of them is kept; set TMPDIR to a folder with space" in said
    assert not list((small / "tmp").iterdir())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The options of `verify` for a tiny model, with vectors that it agrees with."""
    folder = tmp_path_factory.mktemp("published")
    pipe = tiny_sd(heads=(8, 16))
    pipe.save_pretrained(folder / "model")
    nouns = ("car", "cat", "dog", "tree")
    prompts = [f"a {color} {noun}" for color in ("red", "blue") for noun in nouns]
    (folder / "p.txt").write_text("\n".join(prompts))
    concepts = hl.ConceptSet.read("published")
    votes = collect_as_published(pipe, concepts, prompts, seed=1, progress=False).data
    write_published(votes.hrv.relevance(), folder, "mine")
    file = folder / "category_vectors_mine.npy"
    return [folder / "model", "--prompts", folder / "p.txt", "--published", file]


@FULL
@pytest.mark.parametrize("point", [2, 8, 12, 20, 40])
def test_a_verification_keeps_its_votes(published, tmp_path, monkeypatch, capsys, point):
    command = ["verify", *published, "-o", tmp_path / "v" / "out", "--batch-size", 4]
    on_full_disk(monkeypatch, capsys, tmp_path / "v", point, *command)
    finished = units_in(tmp_path / "v")
    _, out, err = run(monkeypatch, capsys, *command)
    assert "report: " in out, err
    assert still_there(finished)


def test_a_page_that_cannot_be_written_is_as_it_was_and_its_units_are_kept(
    tmp_path, monkeypatch, capsys
):
    root = checkout(tmp_path)
    monkeypatch.chdir(root)
    page = root / "book" / "runs" / "story.ipynb"
    page.parent.mkdir(parents=True)
    page.write_text("an earlier page")
    monkeypatch.setattr("hrvlab.publish.runs.execute_cells", lambda notebook, *_: notebook)
    said = on_full_disk(monkeypatch, capsys, page.parent, 3, "run", "story")
    assert "the disk is full while writing " in said
    assert "; the page is as it was, and units in the chapter's store are kept: free" in said
    assert page.read_text() == "an earlier page"
    assert [path.name for path in page.parent.iterdir()] == ["story.ipynb"]


FILLING = """
from tests.faults import FailingDisk

failing = FailingDisk().failing(store, {point})
failing.__enter__()
"""


@FULL
@pytest.mark.parametrize("point", [1, 3, 6, 9, 12])
def test_a_chapter_whose_disk_is_full_while_it_computes_goes_on_to_the_same_page(
    tmp_path, monkeypatch, capsys, point
):
    whole, root = chapter(tmp_path / "whole"), chapter(tmp_path / "root")
    monkeypatch.chdir(whole)
    assert run(monkeypatch, capsys, "run", "story")[0] == 0
    monkeypatch.chdir(root)
    story = root / "notebooks" / "story.ipynb"
    plain = story.read_text()
    filling = nbformat.read(story, 4)
    store = f'store = "{root}/votes"'
    # The disk of the kernel, which is another process.
    filling.cells[2]["source"] = f"{store}\n{FILLING.format(point=point)}" + filling.cells[2].source
    nbformat.write(filling, story)
    code, _, err = run(monkeypatch, capsys, "run", "story")
    check_line(code, errors_in(err), 1)
    assert "the disk is full while writing " in err
    finished = units_in(root)
    story.write_text(plain)
    assert run(monkeypatch, capsys, "run", "story")[0] == 0
    assert still_there(finished)
    assert outputs_of(root) == outputs_of(whole)


@FULL
@pytest.mark.parametrize("event", ["builder-inited", "doctree-read", "html-page-context"])
def test_a_book_whose_disk_is_full_says_which_pages_are_kept(tmp_path, monkeypatch, capsys, event):
    root = checkout(tmp_path)
    (root / "_config.yml").write_text(
        "title: x\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
        "sphinx: {local_extensions: {filling: book/_ext}}\n"
    )
    (root / "book" / "_ext").mkdir(parents=True)
    extension = root / "book" / "_ext" / "filling.py"
    extension.write_text(
        f"def fill(*_):\n    raise OSError(28, '{os.strerror(errno.ENOSPC)}', 'x')\n\n\n"
        f"def setup(app):\n    app.connect({event!r}, fill)\n"
    )
    (root / "book" / "index.md").write_text("# A book\n\nOf a page.\n")
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    monkeypatch.chdir(root)
    code, _, err = run(monkeypatch, capsys, "book")
    check_line(code, errors_in(err), 1)
    assert os.strerror(errno.ENOSPC) in err
    assert err.strip().endswith(KEPT)
    extension.write_text("def setup(app):\n    pass\n")
    assert render(root).exists()


@pytest.mark.parametrize("point", [1, 2])  # the losses, the checkpoint
def test_a_training_keeps_its_last_checkpoint(tmp_path, point):
    train(stage(2), tmp_path)
    before = (tmp_path / "net.safetensors").read_bytes()
    message = "disk is full while writing .*; what was trained up to the last checkpoint is kept"
    with disk.failing(tmp_path, point), pytest.raises(StoreError, match=message):
        train(stage(4), tmp_path)
    assert (tmp_path / "net.safetensors").read_bytes() == before
    train(stage(4), tmp_path)
    assert (tmp_path / "net.safetensors").read_bytes() != before


def fill(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.jsonl")


@FULL
def test_a_training_process_whose_disk_is_full_says_so_in_one_line(tmp_path):
    with pytest.raises(StoreError) as raised:
        train_in_processes(fill, tmp_path)
    said = str(raised.value)
    assert said.startswith(f"a training process failed (OSError: {REASON}: 'x.jsonl'); what was")
    assert "\n" not in said


@pytest.mark.parametrize(
    "error",
    [
        shutil.Error([("a", "b", f"{REASON}: 'b'")]),
        SafetensorError("Error while serializing: I/O error: No space (os error 28)"),
    ],
    ids=["copied", "safetensors"],
)
def test_a_stage_that_cannot_be_written_says_what_is_kept(tmp_path, monkeypatch, error):
    def write(*_):
        raise error

    monkeypatch.setattr(recipe, "check_font", lambda: None)
    monkeypatch.setitem(recipe.STAGES, "assemble", write)
    message = "the disk is full while writing .*target; trained stages are kept, and .*: free some"
    with pytest.raises(StoreError, match=message):
        run_stages(["assemble"], tmp_path, tmp_path / "target", recipe.SMOKE)
