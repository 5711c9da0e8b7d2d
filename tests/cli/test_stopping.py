"""Commands that are stopped at any moment: one line, and the rerun gives the same."""

import signal
from functools import cache

import pytest

from tests.cli.short_runs import (
    CAPTURES,
    IMAGES,
    MAPS,
    REPLACE,
    WEAKEN,
    check_same,
    finished_in,
    options,
    results_in,
    still_there,
)
from tests.faults import run_command

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The options of a run of three batches, by command."""
    return options(tmp_path_factory.mktemp("given"), "car", "cat", "tree")


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """A function that returns what a command gives if nobody stops it."""
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def make(command):
        arguments = [*command.split(), "-o", folder / command, *given[command]]
        assert run_command(arguments, folder / "log") == 0, (folder / "log").read_text()
        return results_in(folder / command)

    return make


# Denoiser calls, units, the result and the vectors come one after the other.
POINTS = {
    "votes": (1, 2, 5, 9, 14, 20, 40, 60, 90, 120),
    "capture": (1, 2, 3, 4, 6, 8, 11, 20, 40, 60),
    MAPS: (1, 4, 8, 20, 60),
    "generate": (1, 4, 8, 12, 16, 20, 24, 28, 34, 40),
    WEAKEN: (1, 6, 12, 18, 24, 30, 36, 42, 48, 54),
    REPLACE: (3, 9, 14, 20, 26, 32, 38, 44, 50, 60),
}
DAILY = [
    ("votes", 9, signal.SIGINT),
    ("capture", 4, signal.SIGTERM),
    ("generate", 20, signal.SIGTERM),
]
OTHERS = [
    pytest.param(command, point, number, marks=pytest.mark.full)
    for command, points in POINTS.items()
    for point in points
    for number in CODES
    if (command, point, number) not in DAILY
]


@pytest.mark.parametrize(("command", "point", "number"), [*DAILY, *OTHERS])
def test_a_stopped_command_ends_in_one_line_and_its_rerun_in_the_same_result(
    given, whole, tmp_path, command, point, number
):
    output, log = tmp_path / "there" / "out", tmp_path / "log"
    arguments = [*command.split(), "-o", output, *given[command]]
    code = run_command(arguments, log, point, output.parent, number)
    text = log.read_text()
    assert code in (0, CODES[number])
    assert "Traceback" not in text
    if code:
        last = text.splitlines()[-1]
        assert last.startswith(f"stopped by {'Ctrl-C' if code == 130 else 'SIGTERM'}: ")
        if command in CAPTURES:
            assert not output.exists()
        if command in IMAGES:
            assert "finished images are kept, and the same command goes on" in last
    finished = finished_in(output, command)
    if code or command not in CAPTURES:
        assert run_command(arguments, log) == 0, log.read_text()
    assert still_there(finished)
    # What is not finished is hidden.
    visible = {path.name for path in output.parent.glob("*") if not path.name.startswith(".")}
    assert visible == {"out"}
    check_same(results_in(output), whole(command))
    if command in IMAGES:
        assert not list(output.glob(".*"))
