import errno
import os
import stat
from pathlib import Path

import pytest

from hrvlab.errors import StoreError
from hrvlab.storage.atomic import check_writable, storing, write_whole
from hrvlab.storage.datasets import write_dataset
from hrvlab.storage.units import Ledger, complete
from tests.storage.test_datasets import votes_dataset


@pytest.fixture(params=[0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_the_umask_decides_who_may_read_and_write_what_is_stored(tmp_path, umask):
    ledger = Ledger(tmp_path / "store", {"seed": 0})
    list(complete(ledger, 1, lambda missing: [(n, {}) for n in missing]))
    write_dataset(votes_dataset(), tmp_path / "store" / "data.zarr")
    write_whole(tmp_path / "store" / "page", b"text")
    paths = list((tmp_path / "store").rglob("*"))
    assert len(paths) > 10
    for path in paths:
        allowed = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path


def test_a_file_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "page"
    write_whole(path, b"before")

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fsync", stop)
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["page"]
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full while writing .*; two are kept: free some space"),
        (errno.EDQUOT, "the disk is full while writing"),
        (errno.ESTALE, "does not answer (.*); two are kept: when it is back, run the same"),
        (errno.EIO, "does not answer"),
        (errno.EROFS, "cannot write .*: Read-only file system; choose a folder that you can"),
        (errno.EACCES, "cannot write .*: Permission denied"),
    ],
)
def test_a_failing_disk_is_one_line_with_what_is_kept_and_the_remedy(tmp_path, number, message):
    with pytest.raises(StoreError, match=message) as refusal, storing(tmp_path, "two are kept"):
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(refusal.value)


def test_a_folder_is_tried_without_leaving_a_trace(tmp_path):
    check_writable(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    Path(tmp_path, "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        check_writable(tmp_path / "file" / "new")
