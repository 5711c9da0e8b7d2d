"""Commands that are stopped while their libraries are imported."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import importlib, os, signal, sys

point, number, entry, *sys.argv[1:] = sys.argv[1:]


def stop(event, arguments):
    if event == "import" and arguments[0] == point:
        os.kill(os.getpid(), int(number))


sys.addaudithook(stop)
module, _, function = entry.partition(":")
getattr(importlib.import_module(module), function)()
"""


def start(point, number, *arguments):
    """Run the installed entry point; a signal is sent when a library is imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    given = [point, str(int(number)), project["scripts"]["hrvlab"], *arguments]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *given], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("point", "number", "code", "how"),
    [
        ("hrvlab", signal.SIGINT, 130, "Ctrl-C"),
        ("pandas", signal.SIGINT, 130, "Ctrl-C"),
        ("hrvlab.cli.votes", signal.SIGTERM, 143, "SIGTERM"),
    ],
)
def test_a_command_stopped_while_it_is_imported_ends_in_one_line(point, number, code, how):
    done = start(point, number, "--version")
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line == f"stopped by {how}: nothing was begun; the same command begins anew"


def test_nohup_keeps_its_meaning_while_a_command_is_imported():
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    given = ["pandas", str(int(signal.SIGINT)), "hrvlab_command:main", "--version"]
    done = subprocess.run(
        [sys.executable, "-c", ignoring + PROGRAM, *given], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_python_m_runs_the_same_command_line():
    command = [sys.executable, "-m", "hrvlab", "nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: No such command 'nothing'")
