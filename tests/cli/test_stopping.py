"""Commands that are stopped at any moment: one line, and the rerun gives the same."""

import signal

import pytest

from hrvlab.storage.datasets import read_dataset
from tests.faults import run_command
from tests.pipelines import tiny_sd
from tests.relevance.test_votes import same

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The options of a run of three batches."""
    folder = tmp_path_factory.mktemp("given")
    tiny_sd().save_pretrained(folder / "model")
    (folder / "c.yaml").write_text("concepts: {Color: [red, blue], Animals: [cat, dog]}")
    prompts = [text for noun in ("car", "cat", "tree") for text in ("--prompt", f"a red {noun}")]
    common = ["-m", folder / "model", "--steps", 2, "--batch-size", 1, *prompts]
    return {"capture": common, "votes": [*common, "--concepts", folder / "c.yaml"]}


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """What the commands give if nobody stops them."""
    folder = tmp_path_factory.mktemp("whole")
    for command, options in given.items():
        assert run_command([command, "-o", folder / command, *options], folder / "log") == 0
    return {command: results_in(folder / command) for command in given}


def results_in(output):
    stores = [output] if (output / "zarr.json").exists() else sorted(output.glob("*/*.zarr"))
    return [read_dataset(path).load() for path in stores]


# Denoiser calls, units, the result and the vectors come one after the other.
POINTS = {"votes": (1, 2, 5, 9, 14, 20, 40, 60, 90), "capture": (1, 2, 3, 4, 8, 11, 20, 40)}
DAILY = [("votes", 9, signal.SIGINT), ("capture", 4, signal.SIGTERM)]
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
    arguments = [command, "-o", output, *given[command]]
    code = run_command(arguments, log, point, output.parent, number)
    text = log.read_text()
    assert code in (0, CODES[number])
    assert "Traceback" not in text
    if code:
        last = text.splitlines()[-1]
        assert last.startswith(f"stopped by {'Ctrl-C' if code == 130 else 'SIGTERM'}: ")
        if command == "capture":
            assert not output.exists()
    left = {path: path.stat().st_mtime_ns for path in output.glob("*/ledger/*.npz")}
    if code or command == "votes":
        assert run_command(arguments, log) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in left.items())
    # What is not finished is hidden.
    visible = {path.name for path in output.parent.glob("*") if not path.name.startswith(".")}
    assert visible == {"out"}
    found = results_in(output)
    assert len(found) == len(whole[command]) > 0
    for one, other in zip(found, whole[command], strict=True):
        same(one, other)
