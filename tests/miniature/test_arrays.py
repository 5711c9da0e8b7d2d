import numpy as np
import pytest

from hrvlab.miniature.arrays import kept_array

SHAPE = (7, 2)
WHOLE = np.arange(14, dtype=np.int16).reshape(SHAPE)


class Killed(Exception):
    pass


def compute(asked, die_at=None):
    """Make a function that computes parts of three rows, and notes which it was asked for."""

    def parts(starts):
        for start in starts:
            if start == die_at:
                raise Killed
            asked.append(start)
            yield WHOLE[start : start + 3]

    return parts


def kept(path, asked, die_at=None, dtype=np.int16):
    return kept_array(path, SHAPE, dtype, compute(asked, die_at), chunk=3)


def test_an_array_is_computed_once_and_is_what_numpy_saves(tmp_path):
    path, saved, asked = tmp_path / "array.npy", tmp_path / "saved.npy", []
    for _ in range(2):
        np.testing.assert_array_equal(kept(path, asked), WHOLE)
    assert asked == [0, 3, 6]
    np.save(saved, WHOLE)
    assert path.read_bytes() == saved.read_bytes()
    assert not path.with_suffix(".part").exists()


@pytest.mark.parametrize("lost", [0, 1, 11])
def test_a_killed_computation_goes_on_after_its_last_whole_part(tmp_path, lost):
    path, asked = tmp_path / "array.npy", []
    with pytest.raises(Killed):
        kept(path, asked, die_at=6)
    begun = path.with_suffix(".part")
    begun.write_bytes(begun.read_bytes()[: begun.stat().st_size - lost])
    again = []
    np.testing.assert_array_equal(kept(path, again), WHOLE)
    assert again == ([3, 6] if lost else [6])


def test_a_computation_of_another_form_begins_anew(tmp_path):
    path, asked = tmp_path / "array.npy", []
    with pytest.raises(Killed):
        kept(path, [], die_at=6, dtype=np.int32)
    np.testing.assert_array_equal(kept(path, asked), WHOLE)
    assert asked == [0, 3, 6]
