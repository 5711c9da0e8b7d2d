import errno
import os
import shutil
import signal

import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import StoreError
from hrvlab.ledger import DATA, Ledger, complete, keep, writing
from hrvlab.store import read_dataset
from tests.faults import FORKS
from tests.test_store import votes_dataset

PLAN = {"seed": 0, "prompts": ["a", "b"]}


def test_finished_units_are_read_back_and_missing_ones_are_none(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    ledger.finish(1, a=np.arange(3))
    again = Ledger(tmp_path, PLAN)
    assert again.read(0) is None
    assert again.read(1)["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kept", [0, 1, 0.5, 0.99])
def test_a_truncated_unit_counts_as_missing(tmp_path, kept):
    ledger = Ledger(tmp_path, PLAN)
    ledger.finish(0, a=np.arange(1000))
    (file,) = ledger.units.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept) if kept != 1 else 1])
    assert ledger.read(0) is None


def test_every_plan_has_a_folder_of_its_own(tmp_path):
    Ledger(tmp_path, PLAN).finish(0, a=np.arange(3))
    other = Ledger(tmp_path, {**PLAN, "seed": 1})
    assert other.read(0) is None
    assert other.folder != Ledger(tmp_path, PLAN).folder


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Ledger(tmp_path / "file" / "run", PLAN)


def test_no_flipped_bit_of_a_unit_goes_unseen(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    arrays = {"a": np.arange(30), "b": np.array([0.5, np.nan])}
    ledger.finish(0, **arrays)
    (file,) = ledger.units.iterdir()
    content = bytearray(file.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        unit = ledger.read(0)
        if unit is not None:  # a bit that says nothing, such as the time of day
            assert unit.keys() == arrays.keys()
            for name in arrays:
                np.testing.assert_array_equal(unit[name], arrays[name])
        content[place] ^= 1 << place % 8


def test_a_folder_of_another_plan_is_refused_and_names_what_differs(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    other = Ledger(tmp_path, {**PLAN, "seed": 1})
    other.finish(0, a=np.arange(3))
    shutil.rmtree(ledger.folder)
    other.folder.rename(ledger.folder)
    with pytest.raises(StoreError, match="holds another plan, which differs in seed; move"):
        Ledger(tmp_path, PLAN)
    assert len(list(ledger.units.iterdir())) == 1


def test_a_damaged_plan_is_written_down_again(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    ledger.finish(0, a=np.arange(3))
    path = ledger.folder / "plan.json"
    whole = path.read_bytes()
    for damaged in (whole[:10], b"", b"\xff"):
        path.write_bytes(damaged)
        assert Ledger(tmp_path, PLAN).read(0) is not None
        assert path.read_bytes() == whole


def hold(store, held):
    with writing(Ledger(store, PLAN).folder):
        held.set()
        signal.pause()


def test_a_store_another_process_writes_to_is_refused_until_it_ends_however_it_ends(tmp_path):
    held = FORKS.Event()
    other = FORKS.Process(target=hold, args=(tmp_path, held))
    other.start()
    assert held.wait(120)
    ledger = Ledger(tmp_path, PLAN)
    with pytest.raises(StoreError, match="another process is writing to"), writing(ledger.folder):
        pass
    with pytest.raises(StoreError, match=f"another process is writing to {ledger.folder}"):
        keep(ledger, votes_dataset)
    assert not (ledger.folder / DATA).exists()
    other.kill()
    other.join()
    xr.testing.assert_identical(keep(ledger, votes_dataset), votes_dataset())


def test_two_runs_of_one_process_do_not_write_to_one_store_either(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    with (
        writing(ledger.folder),
        pytest.raises(StoreError, match="another process"),
        writing(Ledger(tmp_path, PLAN).folder),
    ):
        pass
    with writing(Ledger(tmp_path, PLAN).folder):
        pass


def numbers(missing):
    for number in missing:
        yield number, {"a": np.array(number)}


def test_only_missing_and_damaged_units_are_computed_and_every_one_is_given_once(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    for unit in (1, 2, 4):
        ledger.finish(unit, a=np.array(unit))
    (ledger.units / "000002.npz").write_bytes(b"PK")
    computed = []

    def compute(missing):
        computed.extend(missing)
        yield from reversed(list(numbers(missing)))

    units = list(complete(ledger, 5, compute))
    assert computed == [0, 2, 3]
    assert [number for number, _ in units] == [1, 4, 3, 2, 0]
    assert all(unit["a"] == number for number, unit in units)
    assert [number for number, _ in complete(ledger, 5, compute)] == [0, 1, 2, 3, 4]
    assert computed == [0, 2, 3]


def test_a_damaged_result_is_made_anew(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    whole = keep(ledger, votes_dataset)
    (ledger.folder / DATA / "votes_by_prompt" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(StoreError, match="damaged"):
        read_dataset(ledger.folder / DATA)
    xr.testing.assert_identical(keep(ledger, votes_dataset), whole)
    xr.testing.assert_identical(read_dataset(ledger.folder / DATA), whole)


def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path, PLAN)
    free = [None, None]

    def fsync(_):
        if not free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        free.pop()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match=f"disk is full while writing {ledger.folder}"):
            list(complete(ledger, 5, numbers))
    assert sorted(path.name for path in ledger.units.iterdir()) == ["000000.npz", "000001.npz"]
    assert len(list(complete(ledger, 5, numbers))) == 5
