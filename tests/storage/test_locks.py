import errno
import fcntl
import os
import signal

import pytest

from hrvlab.errors import StoreError
from hrvlab.storage.locks import MARKER, writing
from hrvlab.storage.units import Ledger, complete
from tests.faults import FORKS


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP], ids=errno.errorcode.get)
def lockless(request, monkeypatch):
    """A file system without locks, as far as this process sees."""
    monkeypatch.setattr(fcntl, "flock", fail_with(request.param))


def fail_with(number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    return flock


def test_without_locks_a_file_stands_for_one_and_that_is_said(tmp_path, lockless, caplog):
    with writing(tmp_path):
        assert (tmp_path / MARKER).exists()
        with (
            pytest.raises(StoreError, match="another process .* remove .* if no process runs that"),
            writing(tmp_path),
        ):
            pass
    assert not (tmp_path / MARKER).exists()
    assert "has no locks" in caplog.text
    with writing(tmp_path):
        pass


def hold_without_locks(folder, held):
    fcntl.flock = fail_with(errno.ENOLCK)
    with writing(folder):
        held.set()
        signal.pause()


def test_without_locks_a_killed_run_does_not_block_the_next_one(tmp_path, lockless):
    held = FORKS.Event()
    other = FORKS.Process(target=hold_without_locks, args=(tmp_path, held))
    other.start()
    assert held.wait(120)
    with pytest.raises(StoreError, match="another process is writing to"), writing(tmp_path):
        pass
    other.kill()
    other.join()
    assert (tmp_path / MARKER).exists()
    with writing(tmp_path):
        pass


def test_whoever_holds_the_lock_removes_what_killed_processes_left_behind(tmp_path):
    ledger = Ledger(tmp_path, {"seed": 0})
    list(complete(ledger, 2, lambda missing: [(n, {}) for n in missing]))
    finished = sorted(ledger.folder.rglob("*"))
    (ledger.folder / ".scratch.a" / "data.zarr").mkdir(parents=True)
    (ledger.units / ".scratch.000001.npz.a").touch()
    with writing(ledger.folder):
        assert sorted(ledger.folder.rglob("*")) == sorted([*finished, ledger.folder / "lock"])


def test_another_failure_of_the_lock_is_not_taken_for_a_missing_one(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", fail_with(errno.EIO))
    with pytest.raises(StoreError, match="does not answer"), writing(tmp_path):
        pass
    assert not (tmp_path / MARKER).exists()
