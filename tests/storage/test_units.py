import errno
import os
import shutil
import signal
from functools import partial

import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import StoreError
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.locks import writing
from hrvlab.storage.plans import as_json
from hrvlab.storage.units import DATA, Ledger, complete, keep
from tests.faults import FORKS
from tests.storage.test_datasets import votes_dataset

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


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Ledger(tmp_path / "file" / "run", PLAN)


def test_no_flipped_bit_of_a_unit_goes_unseen(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    arrays = {"a": np.arange(30), "b": np.array([0.5, np.nan])}
    ledger.finish(0, **arrays)
    (file,) = ledger.units.iterdir()
    content = bytearray(file.read_bytes())
    for position in range(len(content)):
        content[position] ^= 1 << position % 8
        file.write_bytes(content)
        unit = ledger.read(0)
        if unit is not None:  # a bit without meaning here, such as one of the time of day
            assert unit.keys() == arrays.keys()
            for name in arrays:
                np.testing.assert_array_equal(unit[name], arrays[name])
        content[position] ^= 1 << position % 8


def test_a_folder_of_another_plan_is_refused_with_the_difference(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    other = Ledger(tmp_path, {**PLAN, "seed": 1})
    other.finish(0, a=np.arange(3))
    shutil.rmtree(ledger.folder)
    other.folder.rename(ledger.folder)
    with pytest.raises(StoreError, match="holds another plan, which differs in seed; move"):
        Ledger(tmp_path, PLAN)
    assert len(list(ledger.units.iterdir())) == 1


def test_a_damaged_plan_is_written_again(tmp_path):
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


def test_a_store_that_another_process_writes_to_is_refused_until_that_process_ends(tmp_path):
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
    xr.testing.assert_identical(keep(ledger, votes_dataset).data, votes_dataset())


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


def test_only_missing_and_damaged_units_are_computed_and_every_unit_is_yielded_once(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    ledger.begin()
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
    whole = keep(ledger, votes_dataset).data.load()
    (ledger.folder / DATA / "votes_by_prompt" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(StoreError, match="damaged"):
        read_dataset(ledger.folder / DATA)
    xr.testing.assert_identical(keep(ledger, votes_dataset).data, whole)
    xr.testing.assert_identical(read_dataset(ledger.folder / DATA), whole)


def test_a_result_with_other_parameters_is_made_anew_from_its_units(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    computed, made = [], []

    def compute(missing):
        computed.extend(missing)
        yield from numbers(missing)

    def make(rules):
        made.append(rules)
        list(complete(ledger, 3, compute))
        return votes_dataset().assign_attrs(parameters=as_json({"rules": rules}))

    for rules in (["a", "b"], ["a", "b"], ["b", "a"], ["c"]):
        run = keep(ledger, partial(make, rules), {"rules": rules})
        assert run.data.attrs["parameters"] == as_json({"rules": rules})
        assert run.folder == ledger.folder
    assert made == [["a", "b"], ["b", "a"], ["c"]]
    assert computed == [0, 1, 2]


def test_a_result_without_the_parameters_is_made_anew(tmp_path):
    ledger = Ledger(tmp_path, PLAN)
    keep(ledger, votes_dataset)
    described = votes_dataset().assign_attrs(parameters=as_json({"rules": ["a"]}))
    run = keep(ledger, lambda: described, {"rules": ["a"]})
    xr.testing.assert_identical(run.data, described)


def test_without_a_ledger_nothing_is_stored():
    run = keep(None, votes_dataset)
    xr.testing.assert_identical(run.data, votes_dataset())
    assert run.folder is None


def fail():
    raise AssertionError("a finished result must not be made again")


def test_a_finished_result_is_read_while_another_process_holds_the_folder(tmp_path):
    keep(Ledger(tmp_path, PLAN), votes_dataset)
    ledger = Ledger(tmp_path, PLAN)
    with writing(ledger.folder):
        xr.testing.assert_identical(keep(ledger, fail).data, votes_dataset())


def test_a_finished_result_is_read_from_a_read_only_folder_without_writing(tmp_path):
    keep(Ledger(tmp_path, PLAN), votes_dataset)
    paths = [tmp_path, *tmp_path.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = [path.stat().st_mtime_ns for path in paths]
    readers = [keep(Ledger(tmp_path, PLAN), fail) for _ in range(2)]
    for reader in readers:
        xr.testing.assert_identical(reader.data, votes_dataset())
    # Root may write anywhere: it must not have written either.
    assert [path.stat().st_mtime_ns for path in paths] == before
    for path in paths:
        path.chmod(0o755)


def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path, PLAN)
    free = [None] * 3  # the versions and two units

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


def test_parameters_match_however_their_letters_are_spelled(tmp_path):
    parameters = {"rules": ["café"]}
    for ensure_ascii in (True, False):
        ledger = Ledger(tmp_path / str(ensure_ascii), PLAN)
        described = as_json(parameters, ensure_ascii=ensure_ascii)
        keep(ledger, lambda text=described: votes_dataset().assign_attrs(parameters=text))
        found = keep(ledger, votes_dataset, parameters)
        assert "rules" in found.data.attrs["parameters"]
