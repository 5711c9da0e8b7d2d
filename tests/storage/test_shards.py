import shutil

import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.storage.shards import SHARDS, Growing, ShardLedger, Shards

ARRAYS = {
    "one": Growing(("prompt", "channel"), (5, 4), "float16", (2, 2)),
    "other": Growing(("prompt",), (5,), "int32", (2,)),
}
ROWS = [slice(0, 2), slice(2, 4), slice(4, 5)]


def values():
    rng = np.random.default_rng(0)
    return {"one": rng.random((5, 4)).astype(np.float16), "other": np.arange(5, dtype=np.int32) - 2}


def write(folder, units):
    ledger = ShardLedger(folder, {"plan": 1}, ARRAYS, rows=2)
    ledger.begin()
    for unit in units:
        own = {name: array[ROWS[unit]] for name, array in values().items()}
        ledger.finish(unit, **own, small=np.array([unit]))
    return ledger


def test_what_units_wrote_in_any_order_is_read_back(tmp_path):
    ledger = write(tmp_path, [2, 0, 1])
    shards = Shards(ledger.folder)
    for name, array in values().items():
        assert (shards.read(name) == array).all()
        assert [shards.read(name, rows).tolist() for rows in shards.units(name)] == [
            array[rows].tolist() for rows in ROWS
        ]


def test_a_unit_is_finished_only_with_all_of_its_shards(tmp_path):
    ledger = write(tmp_path, [0, 1, 2])
    assert [ledger.read(unit)["small"].item() for unit in range(3)] == [0, 1, 2]
    shard = ledger.folder / SHARDS / "other" / "c" / "1"
    shard.write_bytes(shard.read_bytes()[:-1])
    (ledger.folder / SHARDS / "one" / "c" / "2" / "0").unlink()
    assert [ledger.read(unit) is None for unit in range(3)] == [False, True, True]
    with pytest.raises(StoreError, match="is missing; run again the command"):
        Shards(ledger.folder)


def test_zeros_are_written_too(tmp_path):
    ledger = ShardLedger(tmp_path, {"plan": 1}, ARRAYS, rows=2)
    ledger.begin()
    for unit, rows in enumerate(ROWS):
        own = {name: np.zeros_like(array[rows]) for name, array in values().items()}
        ledger.finish(unit, **own)
    assert not Shards(ledger.folder).read("one").any()


def test_a_flipped_bit_is_an_error_of_one_line(tmp_path):
    ledger = write(tmp_path, [0, 1, 2])
    shard = ledger.folder / SHARDS / "one" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[0] ^= 1
    shard.write_bytes(bytes(content))
    shards = Shards(ledger.folder)
    assert (shards.read("one", ROWS[1]) == values()["one"][ROWS[1]]).all()
    with pytest.raises(StoreError, match="is damaged or cannot be read"):
        shards.read("one", ROWS[0])


def test_what_killed_processes_left_is_removed(tmp_path):
    ledger = write(tmp_path, [0])
    left = ledger.folder / SHARDS / "one" / "c" / "0" / "0.1234.partial"
    left.write_bytes(b"half")
    write(tmp_path, [1, 2])
    assert not left.exists()
    assert (Shards(ledger.folder).read("one") == values()["one"]).all()


def test_a_folder_without_shards_is_an_error(tmp_path):
    ledger = write(tmp_path, [0, 1, 2])
    shutil.rmtree(ledger.folder / SHARDS)
    with pytest.raises(StoreError, match="is not a readable zarr store"):
        Shards(ledger.folder)
