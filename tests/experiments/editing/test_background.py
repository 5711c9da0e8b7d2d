import numpy as np
import pytest

from hrvlab.experiments.editing.background import distance_outside


def test_only_what_lies_outside_counts():
    before = np.zeros((1, 2, 2, 3), np.uint8)
    after = before.copy()
    after[0, 0, 0] = 255
    outside = np.array([[[0.0, 1.0], [1.0, 1.0]]])
    assert distance_outside(before, after, outside)[0] == 0
    assert distance_outside(before, after, 1 - outside)[0] == 1
    assert distance_outside(before, after, np.ones((1, 2, 2)))[0] == pytest.approx(0.25)
