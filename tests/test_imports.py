"""Importing hrvlab, help and errors of parameters do not wait for libraries that take seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hrvlab

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "zarr",
    "nbformat",
    "nbclient",
    "plotly",
    "dask",
    "distributed",
}
HELP = [
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["book", "--help"],
    ["capture", "--help"],
    ["votes", "--help"],
    ["record", "--help"],
    ["ask", "--help"],
    ["verify", "--help"],
    ["results", "--help"],
    ["check-results", "--help"],
    ["model", "--help"],
    ["model", "train", "--help"],
    ["run", "capture", "--help-parameters"],
]
CAPTURE = ["capture", "-o", "new", "--prompt", "a red car"]
VOTES = ["votes", "-o", "new", "--prompt", "a red car"]
RECORD = ["record", "-o", "new", "--prompt", "a red car"]
MISTAKES = [
    ["run"],
    ["run", "nothing"],
    ["run", "capture", "-p", "nothing=1"],
    ["run", "capture", "-p", "steps=many"],
    ["run", "capture", "-p", "steps"],
    ["run", "capture", "--name", "../x"],
    ["run", "capture", "-f", "nothing.yaml"],
    ["book", "--nothing"],
    ["capture"],
    ["capture", "-o", "new"],
    ["capture", "-o", "new", "--prompts", "nothing"],
    ["capture", "-o", "new", "--prompt", " "],
    ["capture", "-o", "notebooks", "--prompt", "a red car"],
    [*CAPTURE, "-m", "nothing"],
    [*CAPTURE, "--steps", "0"],
    [*CAPTURE, "--seed", "-1"],
    [*CAPTURE, "--batch-size", "few"],
    [*CAPTURE, "--device", "gpu"],
    ["votes", "-o", "README.md", "--prompt", "a red car"],
    [*VOTES, "--concepts", "nothing"],
    [*VOTES, "-m", "notebooks"],
    [*VOTES, "--device", "gpu"],
    [*VOTES, "--cluster", "nowhere"],
    [*VOTES, "--cluster", "tcp://host:8786", "--device", "cpu"],
    [*RECORD, "--positions", "few"],
    [*RECORD, "--calls", "0"],
    [*RECORD, "--cluster", "nowhere"],
    [*RECORD, "-m", "nothing"],
    ["record", "-o", "new"],
    ["ask"],
    ["ask", "nothing"],
    ["ask", "nothing", "--concept", "Metal: gold", "--head", "up, layer: 8, head: 0"],
    ["ask", "nothing", "--head", "up, layer: 8, head: 0", "--against", "published"],
    ["verify"],
    ["verify", "nothing"],
    ["verify", "no/model", "--prompts", "nothing"],
    ["verify", "no/model", "--prompts", "LICENSE", "--published", "category_vectors_no.npy"],
    ["verify", "no/model", "--prompts", "LICENSE", "--published", "README.md"],
    ["verify", "no/model", "--batch-size", "0"],
    ["results", "nothing"],
    ["results", "--device", "gpu"],
    ["check-results", "nothing"],
    ["check-results", "--share", "2"],
    ["model", "train", "nothing"],
    ["model", "train", "--from", "notebooks"],
    ["nothing"],
]
PROGRAM = """
import json, sys
from hrvlab.cli import main

outcomes = []
heavy, calls = json.loads(sys.argv[1])
for call in calls:
    sys.argv = ["hrvlab", *call]
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    outcomes.append([code, [name for name in heavy if name in sys.modules]])
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes():
    """Exit code of each call, and the libraries loaded after it, all in one process."""
    given = json.dumps([sorted(HEAVY), [*HELP, *MISTAKES]])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, given], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_that_takes_seconds_is_imported(outcomes):
    calls = map(" ".join, [*HELP, *MISTAKES])
    loaded = {call: found for call, (_, found) in zip(calls, outcomes, strict=True) if found}
    assert not loaded


def test_help_succeeds_and_every_mistake_is_an_error(outcomes):
    failed = [bool(code) for code, _ in outcomes]
    assert failed == [False] * len(HELP) + [True] * len(MISTAKES)


def test_every_public_name_is_what_its_module_defines():
    # Also of those that share their name with a module, such as `capture`.
    from hrvlab.capture import capture

    assert hrvlab.capture is capture
    assert all(getattr(hrvlab, name).__name__ == name for name in hrvlab.__all__)
    assert set(hrvlab.__all__) <= set(dir(hrvlab))
