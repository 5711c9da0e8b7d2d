import numpy as np
import pytest

from hrvlab.errors import StoreError
from hrvlab.experiments.sweep import rescore
from tests.experiments.test_weakening import TEXTS, sweep


class Redness:
    name = "redness"
    least = 0.0

    def check(self, texts):
        """It takes any text."""

    def __call__(self, images, texts):
        return (images[..., 0].mean((1, 2)) * [len(text) for text in texts]).astype(np.float32)


def test_kept_pictures_scored_again_are_as_if_scored_so_at_first(tiny_pipe, tmp_path):
    again = rescore(sweep(tiny_pipe, store=tmp_path), Redness())
    first = sweep(tiny_pipe, score=Redness())
    assert again["score"].dims == first["score"].dims
    np.testing.assert_array_equal(again["score"], first["score"])


def test_without_pictures_there_is_nothing_to_score(tiny_pipe):
    curves = sweep(tiny_pipe)
    assert list(curves["text"].values) == TEXTS
    with pytest.raises(StoreError, match="run the sweep with a store"):
        rescore(curves.assign(image=curves["score"]), Redness())
