"""Every command that writes, on a disk without locks: it works, and finished work is kept."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys

import pytest

from tests.cli.disks import disk
from tests.cli.short_runs import (
    COMMANDS,
    check_same,
    finished_in,
    options,
    results_in,
    still_there,
)
from tests.cli.test_bad_disks import WRITING
from tests.cli.test_full_disks import made, published, small, units_in  # noqa: F401
from tests.cli.test_wrong_values import check_line
from tests.publish.chapters import checkout
from tests.test_cli import ROOT, run

FULL = pytest.mark.full
ERRORS = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]
# What writes units or images, below; what makes results; what starts other programs.
STUDIES = ["results", "check-results"]
PROGRAMS = {
    "run": ["story"],
    "book": [],
    "model train": ["autoencoder", "--smoke", "--folder", "work"],
}
DAILY = ("votes", "generate")


@pytest.fixture(params=ERRORS[:1] + [pytest.param(number, marks=FULL) for number in ERRORS[1:]])
def lockless(request, monkeypatch):
    """A file system on which every kind of lock fails."""

    def fail(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(fcntl, "lockf", fail)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The options of a run of two batches, by command."""
    return options(tmp_path_factory.mktemp("given"), "car", "cat")


def test_no_command_is_forgotten():
    tried = {"verify", "record", "atlas", *STUDIES, *PROGRAMS}
    for command in COMMANDS:
        tried.add(command.partition(" --")[0])
    # All edits of images are written as these are.
    assert {name for name in WRITING if not name.startswith("edit ")} <= tried


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=() if c in DAILY else FULL) for c in COMMANDS]
)
def test_without_locks_a_command_is_interrupted_and_completed(
    given, lockless, tmp_path, monkeypatch, capsys, command
):
    output = tmp_path / "there" / "out"
    arguments = [*command.split(), "-o", output, *given[command]]
    with disk.failing(output.parent, 9 if command == "generate" else 11):
        code, _, err = run(monkeypatch, capsys, *arguments)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    check_line(code, "\n".join(errors), 1)
    finished = finished_in(output, command)
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert (code, "Traceback" in err) == (0, False)
    assert still_there(finished)
    monkeypatch.undo()
    whole = tmp_path / "whole"
    assert run(monkeypatch, capsys, *command.split(), "-o", whole, *given[command])[0] == 0
    check_same(results_in(output), results_in(whole))
    assert not list(output.rglob("lock.held"))


@FULL
def test_without_locks_queries_are_recorded(given, lockless, tmp_path, monkeypatch, capsys):
    for output in ("out", "out", "whole"):
        command = ["record", "-o", tmp_path / output, *given["generate"], "--calls", 1]
        code, _, err = run(monkeypatch, capsys, *command)
        assert (code, "Traceback" in err) == (0, False), err
    first, second = (next((tmp_path / name).iterdir()).name for name in ("out", "whole"))
    assert first == second


@pytest.mark.parametrize("command", [STUDIES[0], pytest.param(STUDIES[1], marks=FULL)])
def test_without_locks_results_are_made_and_checked(
    lockless,
    small,  # noqa: F811
    monkeypatch,
    capsys,
    command,
):
    code, out, err = run(monkeypatch, capsys, command)
    assert (code, "Traceback" in err) == (0, False), err
    assert "tiny" in out


@FULL
def test_without_locks_a_model_is_verified(
    lockless,
    published,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    command = ["verify", *published, "-o", tmp_path / "v", "--batch-size", 4]
    for _ in range(2):
        _, out, err = run(monkeypatch, capsys, *command)
        assert "report: " in out, err
    assert units_in(tmp_path / "v")


# What locks files in C, SQLite and PyTorch among others, asks these functions.
LOCKLESS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>

static int none(void) { errno = ENOLCK; return -1; }
int flock(int file, int operation) { return none(); }
int lockf(int file, int command, off_t length) { return none(); }
int lockf64(int file, int command, off64_t length) { return none(); }

static int control(const char *name, int file, int command, void *argument) {
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK;
    return locks ? none() : real(file, command, argument);
}
int fcntl(int file, int command, ...) {
    va_list rest; va_start(rest, command);
    void *argument = va_arg(rest, void *); va_end(rest);
    return control("fcntl", file, command, argument);
}
int fcntl64(int file, int command, ...) {
    va_list rest; va_start(rest, command);
    void *argument = va_arg(rest, void *); va_end(rest);
    return control("fcntl64", file, command, argument);
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """A library by which every lock of a program and of all that it starts fails."""
    if not (compiler := shutil.which("cc")) or sys.platform != "linux":
        pytest.skip("there is no C compiler")
    source = tmp_path_factory.mktemp("shim") / "lockless.c"
    source.write_text(LOCKLESS)
    built = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


@FULL
@pytest.mark.parametrize("command", PROGRAMS)
def test_without_locks_programs_that_a_command_starts_work(shim, tmp_path, command):
    root = checkout(tmp_path)
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("# A book\n\nOf a page.\n")
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT)}
    check = "import fcntl, tempfile; fcntl.flock(tempfile.TemporaryFile(), fcntl.LOCK_EX)"
    tried = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True)
    assert b"No locks available" in tried.stderr
    done = subprocess.run(
        [sys.executable, "-m", "hrvlab", *command.split(), *PROGRAMS[command]],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
