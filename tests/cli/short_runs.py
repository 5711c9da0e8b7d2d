"""Short runs of the commands that write units or images, and what they leave behind."""

import hrvlab as hl
from hrvlab.storage.datasets import read_tree
from hrvlab.storage.galleries import SHEET
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd

MAPS, WEAKEN, REPLACE = "capture --maps red", "edit weaken --top 2", "edit replace --by blue"
IMAGES = {"generate": 1, WEAKEN: 2, REPLACE: 2}  # the images of each seed
CAPTURES = ["capture", MAPS]
COMMANDS = [*CAPTURES, "votes", *IMAGES]


def options(folder, *nouns):
    """Write what the commands need; return their options for a run of a batch for each noun."""
    pipe = tiny_sd()
    pipe.save_pretrained(folder / "model")
    hl.save_relevance(vectors(pipe), folder / "hrv.zarr")
    (folder / "c.yaml").write_text("concepts: {Color: [red, blue], Animals: [cat, dog]}")
    prompts = [text for noun in nouns for text in ("--prompt", f"a red {noun}")]
    common = ["-m", folder / "model", "--steps", 2, "--batch-size", 1, *prompts]
    own = {
        "votes": ["--concepts", folder / "c.yaml"],
        WEAKEN: ["--concept", "Color", "--vectors", folder / "hrv.zarr"],
        REPLACE: ["--word", "red"],
    }
    return {command: [*common, *own.get(command, ())] for command in COMMANDS}


def results_in(output):
    """Read what a command has made, to be compared by `check_same`."""
    if (output / "settings.json").exists():
        return [{path.name: path.read_bytes() for path in sorted(output.glob("*.png"))}]
    stores = [output] if (output / "zarr.json").exists() else sorted(output.glob("*/*.zarr"))
    return [node.to_dataset().load() for path in stores for node in read_tree(path).subtree]


def check_same(found, whole):
    assert len(found) == len(whole) > 0
    for one, other in zip(found, whole, strict=True):
        if isinstance(one, dict):
            assert one == other
        else:
            assert one.drop_attrs().identical(other.drop_attrs())


def finished_in(output, command):
    """Return the files of finished units, and when each was written."""
    paths = list(output.glob("*/ledger/*.npz"))
    images = [path for path in output.glob("*.png") if path.name != SHEET]
    for number in {path.name[:3] for path in images}:
        unit = [path for path in images if path.name.startswith(number)]
        paths += unit if len(unit) == IMAGES[command] else []
    return {path: path.stat().st_mtime_ns for path in paths}


def still_there(finished):
    return all(path.stat().st_mtime_ns == time for path, time in finished.items())
