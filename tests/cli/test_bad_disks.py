"""Every command that writes, on a disk that cannot be written: one line, before any work."""

import errno
import shutil
import tempfile

import pytest

from hrvlab.cli.vectors import read_vectors
from hrvlab.results import make, registry
from hrvlab.results.make import make_result
from tests.cli.disks import disk
from tests.cli.test_wrong_values import NEEDED, check_line, commands
from tests.pipelines import tiny_sd
from tests.publish.chapters import checkout
from tests.results.test_make import STUDY
from tests.test_cli import run

# The one writes nothing, the other uses no model: test_atlas is about its disks.
WRITING = sorted(NEEDED.keys() - {"ask", "atlas"})
ERRORS = [errno.EROFS, errno.ENOSPC, errno.ESTALE, errno.EACCES, errno.EDQUOT]


def never(*_, **__):
    pytest.fail("the work was begun")


@pytest.fixture(scope="module")
def hrv():
    return read_vectors("miniature")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A finished result, which `check-results` reads; it writes temporary files only."""
    folder = tmp_path_factory.mktemp("result")
    make_result(STUDY, tiny_sd(), folder / "work", folder / "results")
    return folder / "results"


@pytest.fixture
def root(tmp_path, monkeypatch, hrv, result):
    """A checkout in which every command comes as far as its work, and fails the test there."""
    monkeypatch.chdir(checkout(tmp_path))
    pipe = tiny_sd()
    pipe.unet.register_forward_pre_hook(never)
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: pipe)
    monkeypatch.setattr("hrvlab.publish.runs.execute_cells", never)
    monkeypatch.setattr("hrvlab.publish.book.subprocess.run", never)
    monkeypatch.setattr("hrvlab.miniature.recipe.run_stages", never)
    monkeypatch.setattr(registry, "STUDIES", {"tiny": "tests.results.test_make:STUDY"})
    monkeypatch.setattr("hrvlab.cli.edit.read_vectors", lambda _: hrv)
    monkeypatch.setattr("hrvlab.cli.replace.read_vectors", lambda _: hrv)
    monkeypatch.setattr("hrvlab.replication.verify.find_published", lambda *_: None)
    monkeypatch.setattr(make, "results_path", lambda: tmp_path / "results")
    shutil.copytree(result, tmp_path / "results")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_no_command_is_forgotten():
    assert {command for command, _ in commands()} == NEEDED.keys()


@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(command, number, marks=() if number == errno.EROFS else pytest.mark.full)
        for command in WRITING
        for number in ERRORS
    ],
)
def test_a_disk_that_cannot_be_written_is_told_in_one_line_before_any_work(
    root, monkeypatch, capsys, command, number
):
    with disk.failing(root, 1, number):
        code, _, err = run(monkeypatch, capsys, *command.split(), *NEEDED[command])
        assert disk.passed
    errors = [line for line in err.splitlines() if not line.startswith("warning")]
    check_line(code, "\n".join(errors), 1)
    assert not list(root.rglob(".scratch.*"))
