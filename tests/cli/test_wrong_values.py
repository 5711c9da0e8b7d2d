"""Every command and option with wrong, empty, huge and unreadable values, and on bad disks."""

import errno
import os
import sys

import numpy as np
import pytest

from hrvlab.errors import ModelError
from hrvlab.storage.datasets import read_dataset
from tests.cli.commands import commands
from tests.cli.disks import disk
from tests.cli.short_runs import (
    CAPTURES,
    COMMANDS,
    MAPS,
    REPLACE,
    check_same,
    finished_in,
    options,
    results_in,
    still_there,
)
from tests.publish.chapters import checkout
from tests.test_cli import run

REACHED = "the model was reached"
# What every command needs before it comes to its model.
NEEDED = {
    "capture": ["--output", "out", "--prompt", "a cat"],
    "generate": ["--output", "out", "--prompt", "a cat"],
    "edit strengthen": [
        *("--output", "out", "--prompt", "a cat", "--concept", "Animals", "--word", "cat"),
    ],
    "edit adjust": [
        *("--output", "out", "--prompt", "a cat", "--word", "cat"),
        *("--toward", "Animals", "--away", "Color"),
    ],
    "edit weaken": [
        *("--output", "out", "--prompt", "a cat", "--concept", "Animals", "--top", "4"),
    ],
    "edit replace": [
        *("--output", "out", "--prompt", "a cat", "--word", "cat", "--by", "frog"),
        *("--concept", "Animals"),
    ],
    "edit p2p": [
        *("--output", "out", "--source", "a cat", "--target", "a red cat"),
        *("--concept", "Color"),
    ],
    "votes": ["--output", "out", "--prompt", "a cat"],
    "record": ["--output", "out", "--prompt", "a cat"],
    "ask": ["folder", "--concept", "cat"],
    "atlas": ["folder", "--output", "out.html"],
    "verify": ["miniature"],
    "results": [],
    "check-results": [],
    "run": ["story"],
    "book": [],
    "model train": ["--folder", "work"],
}
VALUES = {
    "empty": "",
    "blank": " ",
    "word": "nothing",
    "negative": "-1",
    "zero": "0",
    "fraction": "0.5",
    "not a number": "nan",
    "infinite": "1e999",
    "huge": "9" * 30,
    "long": "a" * 5000,
    "file": "file",
    "below a file": "file/below",
    "folder": "folder",
    "binary": "binary.yaml",
    "broken": "broken.yaml",
    "odd": "odd.yaml",
    "array": "category_vectors.npy",
    "not utf-8": os.fsdecode(b"\xff\xfe"),
    "home of nobody": "~nobody-of-this-name/x",
}
# The values that no option at all takes.
ALWAYS_WRONG = {
    "--steps": ["empty", "word", "zero"],
    "--batch-size": ["zero", "word"],
    "--images": ["zero", "word", "huge"],
    "--vectors": ["empty", "word", "file", "folder", "array"],
    "--grids": ["word"],
}
# One value of every option of some commands is tried every day.
DAILY = {("votes", "empty"), ("verify", "binary"), ("edit weaken", "not a number")}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with files that nothing can use, and no model behind the commands."""

    def refuse(*_, **__):
        raise ModelError(REACHED)

    monkeypatch.chdir(checkout(tmp_path))
    monkeypatch.setattr("hrvlab.models.load.load", refuse)
    # Commands stand before their modules of the same name.
    monkeypatch.setattr(sys.modules["hrvlab.cli.run"], "make_page", refuse)
    monkeypatch.setattr(sys.modules["hrvlab.cli.book"], "render", refuse)
    monkeypatch.setattr("hrvlab.miniature.recipe.run_stages", refuse)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "broken.yaml").write_text("concepts: [a, {b\n\tc")
    (tmp_path / "odd.yaml").write_text("concepts: 3\nprompts: {a: 1}\n- 4")
    np.save(tmp_path / "category_vectors.npy", np.array([{}], object), allow_pickle=True)
    return tmp_path


def check_line(code, err, *allowed):
    lines = [line for line in err.splitlines() if line.strip()]
    assert code in allowed
    assert len(lines) == (code != 0), err
    assert not lines or lines[0].startswith("error: ")
    assert "Traceback" not in err
    assert "did not foresee" not in err


@pytest.mark.parametrize(
    ("value", "command", "option"),
    [
        pytest.param(
            *(value, command, option),
            marks=() if (command, value) in DAILY else mark,
        )
        for command, option in commands()
        for value in VALUES
        for mark in [pytest.mark.full]
    ],
)
def test_any_value_of_any_option_ends_in_one_line(
    here, monkeypatch, capsys, command, option, value
):
    needed = list(NEEDED[command])
    if option in needed:
        at = needed.index(option)
        del needed[at : at + 2]
    given = [option, VALUES[value]] if option else ["--", VALUES[value]]
    if not option and command in ("verify", "run"):
        needed = []
    code, _, err = run(monkeypatch, capsys, *command.split(), *needed, *given)
    check_line(code, err, 1, 2)
    if value in ALWAYS_WRONG.get(option, ()):
        assert REACHED not in err
    # Nothing of what lay there before is lost.
    assert {"file", "folder", "binary.yaml"} <= {path.name for path in here.iterdir()}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The options of a run of two batches, by command."""
    return options(tmp_path_factory.mktemp("given"), "car", "cat")


def run_on(monkeypatch, capsys, command, output, given):
    return run(monkeypatch, capsys, *command.split(), "-o", output, *given[command])


FULL = pytest.mark.full
FAILURES = [
    (8, errno.ENOSPC),
    *[pytest.param(point, errno.ENOSPC, marks=FULL) for point in (1, 2, 3, *range(9, 45, 2))],
    *[pytest.param(point, errno.EROFS, marks=FULL) for point in (1, 12, 30)],
    *[pytest.param(point, errno.ESTALE, marks=FULL) for point in (2, 10, 31)],
]


@pytest.mark.parametrize(("point", "number"), FAILURES)
@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=FULL if c in (MAPS, REPLACE) else ()) for c in COMMANDS]
)
def test_whenever_the_disk_fails_one_line_says_what_is_kept_and_a_rerun_completes_it(
    given, tmp_path, monkeypatch, capsys, command, point, number
):
    output = tmp_path / "there" / "out"
    with disk.failing(output.parent, point, number):
        code, _, err = run_on(monkeypatch, capsys, command, output, given)
    errors = "\n".join(line for line in err.splitlines() if line.startswith("error"))
    if code:
        check_line(code, errors, 1)
        assert "nothing was computed yet" not in errors or not finished_in(output, command)
        if command in CAPTURES:
            assert "lost" in errors or "nothing was computed yet" in errors or "cannot" in errors
            assert "is kept" not in errors
            assert not output.exists()
    else:
        assert disk.passed < point
    finished = finished_in(output, command)
    if code or command not in CAPTURES:
        code, _, err = run_on(monkeypatch, capsys, command, output, given)
        assert code == 0, err
    assert still_there(finished)
    whole = tmp_path / "whole"
    assert run_on(monkeypatch, capsys, command, whole, given)[0] == 0
    check_same(results_in(output), results_in(whole))


def test_a_capture_s_place_is_tried_before_the_model_runs(
    given, tmp_path, monkeypatch, capsys, tiny_pipe
):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: tiny_pipe)
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "out", tmp_path / "file", "/proc/out"):
        code, _, err = run_on(monkeypatch, capsys, "capture", output, given)
        check_line(code, err, 1)
    assert not calls


def test_two_captures_of_one_name_do_not_write_over_each_other(
    given, tmp_path, monkeypatch, capsys, tiny_pipe
):
    told = []

    def load(*_, **__):
        if not told:
            told.append(None)
            told[0] = run_on(monkeypatch, capsys, "capture", tmp_path / "out", given)
        return tiny_pipe

    monkeypatch.setattr("hrvlab.models.load.load", load)
    code, _, _ = run_on(monkeypatch, capsys, "capture", tmp_path / "out", given)
    assert code == 0
    assert told[0][0] == 1
    assert "already exists" in told[0][2]
    assert read_dataset(tmp_path / "out").sizes["prompt"] == 2


def test_finished_votes_are_shown_to_whom_may_only_read(given, tmp_path, monkeypatch, capsys):
    code, out, _ = run_on(monkeypatch, capsys, "votes", tmp_path / "out", given)
    assert code == 0
    assert "Vectors saved: " in out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code, out, _ = run_on(monkeypatch, capsys, "votes", tmp_path / "out", given)
    assert code == 0
    assert "Vectors there already: " in out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_more_steps_than_the_model_has_are_refused(given, tmp_path, monkeypatch, capsys):
    given = {"votes": [*given["votes"], "--steps", 10**9]}
    code, _, err = run_on(monkeypatch, capsys, "votes", tmp_path / "out", given)
    assert code == 1
    assert err.splitlines()[-1].startswith("error: --steps 1000000000 is more than the 1000 time")
