import errno
import json
import os
import signal
import time

import pytest
import torch
from distributed.comm import CommClosedError
from nbclient.exceptions import DeadKernelError

from hrvlab.cli import ends
from hrvlab.cli.ends import end, explain
from hrvlab.errors import ParameterError
from tests.test_cli import run


def error_of(work):
    with pytest.raises(Exception) as raised:
        work()
    return raised.value


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ParameterError("give\n  more"), 1, "give more"),
        (OSError(errno.EACCES, "Permission denied", "/a"), 1, "/a: Permission denied; check the"),
        (OSError("odd"), 1, "odd; check the path"),
        (error_of(lambda: b"\xff".decode()), 1, "a file is not UTF-8 text ('utf-8' codec can't"),
        (error_of(lambda: json.loads("{")), 1, "a file is not valid JSON"),
        (MemoryError("8 GB"), 1, "out of memory (8 GB): give a smaller --batch-size"),
        (torch.OutOfMemoryError("CUDA"), 1, "out of memory (CUDA): give a smaller --batch-size"),
        (DeadKernelError("Kernel died"), 1, "the chapter failed: Kernel died"),
        (CommClosedError("gone"), 1, "the cluster failed: gone"),
        (KeyError("x"), 70, "hrvlab did not foresee this KeyError: 'x'; run `hrvlab --debug` with"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_is_one_line_with_a_code(capsys, error, code, message):
    def fail(_):
        raise error

    assert explain(error)[0] == code
    assert end(fail) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize("where", ["first", "last"])
def test_debug_shows_where_it_failed(monkeypatch, capsys, where):
    command = ["votes", "-o", "x", "--prompts", "nowhere"]
    arguments = ["--debug", *command] if where == "first" else [*command, "--debug"]
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert err.strip().splitlines()[-1].startswith("error: there are no prompts 'nowhere'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vote"], "error: No such command 'vote'. Did you mean 'votes'?; see hrvlab --help"),
        (["votes"], "error: Missing option '--output' / '-o'; see hrvlab votes --help"),
        (["capture", "-o", "x", "--steps", "0"], "error: Invalid value for '--steps': "),
        (["capture", "-o", ""], "error: Invalid value for '--output' / '-o': it is empty; give a"),
        (["votes", "-o", __file__], f"error: Invalid value for '--output' / '-o': {__file__} is a"),
        (["check-results", "--share", "2"], "error: Invalid value for '--share': "),
        (["check-results", "--share", "nan"], "error: Invalid value for '--share': "),
        (["capture", "-o", "x", "--seed", "9" * 20], "error: Invalid value for '--seed'"),
    ],
)
def test_a_wrong_command_line_is_one_line_with_the_way_to_its_help(
    monkeypatch, capsys, arguments, message
):
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(message)


def test_a_share_may_be_written_with_an_exponent(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "check-results", "nothing", "--share", "1e-1")
    assert (code, err.startswith("error: there is no study nothing")) == (1, True)


def test_without_a_command_there_is_help_and_no_error(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys)
    assert code == 2
    assert "Usage: hrvlab" in out
    assert "error" not in err


@pytest.mark.parametrize(
    ("number", "code", "how"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["as it is", "as another error"])
def test_a_stopped_command_says_how_to_go_on(capsys, number, code, how, wrapped):
    before = signal.getsignal(number)

    def work(ending):
        ending.command = "votes"
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt as error:
            # As a library may that is stopped while it is imported.
            raise ImportError if wrapped else error from None

    assert end(work) == code
    assert signal.getsignal(number) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stopped by {how}: finished work is kept, and the same command goes on")


def test_a_signal_that_comes_twice_at_once_is_one(capsys):
    def work(_):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    assert end(work) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_every_command_that_keeps_nothing_says_so():
    assert "nothing was written" in ends.AFTER["capture"]
    assert "nothing was written" in ends.AFTER["check-results"]
