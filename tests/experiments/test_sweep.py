import numpy as np
import pytest

from hrvlab.errors import ParameterError
from tests.experiments.test_weakening import Brightness, sweep


class Redness:
    name = "redness"
    least = 0.0

    def check(self, texts):
        """It takes any text."""

    def __call__(self, images, texts):
        return (images[..., 0].mean((1, 2)) * [len(text) for text in texts]).astype(np.float32)


def test_several_witnesses_score_the_same_pictures(tiny_pipe, tmp_path):
    both = sweep(tiny_pipe, score={"one": Brightness(), "two": Redness()}, store=tmp_path)
    assert both["score"].dims == ("witness", "order", "weakened", "prompt", "seed")
    for name, score in (("one", Brightness()), ("two", Redness())):
        alone = sweep(tiny_pipe, score=score)
        np.testing.assert_array_equal(both["score"].sel(witness=name), alone["score"])


def test_without_a_witness_nothing_is_drawn(tiny_pipe, tmp_path):
    with pytest.raises(ParameterError, match="there is no score"):
        sweep(tiny_pipe, score={}, store=tmp_path)
    assert not list(tmp_path.iterdir())
