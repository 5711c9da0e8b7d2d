"""The one rule on versions: units that were computed under several are never mixed."""

import json

import numpy as np
import pytest

from hrvlab import libraries
from hrvlab.errors import StoreError
from hrvlab.storage.archives import close, pack, unpack
from hrvlab.storage.units import DATA, Ledger, complete, keep
from tests.storage.test_datasets import votes_dataset
from tests.storage.test_units import PLAN, fail, numbers


def some(ledger, count):
    """Finish so many of four units."""
    units = complete(ledger, 4, numbers)
    return [next(units) for _ in range(count)]


@pytest.mark.parametrize("name", libraries.COMPUTING)
def test_a_run_is_not_resumed_under_another_version(tmp_path, installed, name):
    some(Ledger(tmp_path, PLAN), 2)
    here = libraries.computing_versions()[name]
    installed(name, "99.1")
    ledger = Ledger(tmp_path, PLAN)
    message = rf"units .2. of other versions: {name} {here} \(here 99.1\); .* another store"
    with pytest.raises(StoreError, match=message.replace("+", r"\+")):
        list(complete(ledger, 4, fail))
    assert len(list(ledger.units.iterdir())) == 2


def test_what_finished_under_other_versions_is_read_and_says_so(tmp_path, installed):
    first = Ledger(tmp_path, PLAN)
    assert len(list(complete(first, 4, numbers))) == 4
    before = first.versions()
    installed("torch", "99.1")
    ledger = Ledger(tmp_path, PLAN)
    assert len(list(complete(ledger, 4, fail))) == 4
    assert ledger.versions() == before
    assert before["torch"] != "99.1"


def test_a_store_without_finished_units_is_begun_under_any_versions(tmp_path, installed):
    ledger = Ledger(tmp_path, PLAN)
    ledger.begin()
    installed("torch", "99.1")
    some(ledger, 1)
    assert ledger.versions()["torch"] == "99.1"


def test_units_of_unknown_versions_are_read_but_not_resumed(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    ledger.finish(0, a=np.arange(3))  # as 0.1 did, which noted no versions
    assert set(ledger.versions().values()) == {"unknown"}
    assert ledger.read(0) is not None
    with pytest.raises(StoreError, match="units .1. of other versions: hrvlab unknown"):
        some(ledger, 2)


def test_versions_stand_beside_the_plan_and_not_in_it(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    some(ledger, 1)
    assert json.loads((ledger.folder / "plan.json").read_bytes()) == PLAN
    noted = json.loads((ledger.folder / "versions.json").read_bytes())
    assert noted == libraries.computing_versions()


def test_units_of_a_closed_store_are_compared_across_versions(tmp_path, installed):
    ledger = Ledger(tmp_path / "work", PLAN)
    list(complete(ledger, 4, numbers))
    pack(ledger.folder, tmp_path / "packed.npz")
    folder = unpack(tmp_path / "packed.npz", tmp_path / "scratch")
    close(tmp_path / "scratch")
    (folder / "ledger" / "000002.npz").unlink()
    installed("torch", "99.1")
    assert len(list(complete(Ledger(tmp_path / "scratch", PLAN), 4, numbers))) == 4


def test_a_result_is_assembled_where_nothing_can_be_written(tmp_path, monkeypatch):
    """As a reader of somebody else's store with a result of other parameters sees it."""
    ledger = Ledger(tmp_path, PLAN)
    keep(ledger, votes_dataset)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr("os.access", lambda *_: False)
    run = keep(Ledger(tmp_path, PLAN), votes_dataset, {"other": 1})
    assert run.data.identical(votes_dataset())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert (ledger.folder / DATA).exists()


def test_a_unit_that_cannot_be_read_is_one_line_and_is_not_computed_again(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    some(ledger, 1)
    (ledger.units / "000001.npz").mkdir()
    with pytest.raises(StoreError, match="cannot read the finished unit .*: Is a directory; make"):
        list(complete(ledger, 4, numbers))
