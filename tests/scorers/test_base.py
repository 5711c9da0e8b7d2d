import numpy as np
import pytest

from hrvlab.errors import ParameterError
from hrvlab.scorers.base import check_counts, check_texts, rate, score_names, thresholds_of
from hrvlab.scorers.judge import judge_score

IMAGES = np.zeros((2, 8, 8, 3), np.uint8)


class Fixed:
    """A score of one value for every image."""

    def __init__(self, value, threshold=0.5, texts=("a cat",)):
        self.name, self.value, self.threshold, self._texts = (
            f"fixed {value}",
            value,
            threshold,
            texts,
        )

    def check(self, texts):
        if unknown := {*texts} - {*self._texts}:
            raise ParameterError(f"unknown: {unknown}")

    def __call__(self, images, texts):
        return np.full(len(images), self.value, np.float32)


SEVERAL = {"one": Fixed(1), "two": Fixed(2, threshold=-1.0)}


def test_one_score_rates_by_image_and_several_by_score_and_image():
    np.testing.assert_array_equal(rate(Fixed(1), IMAGES, ["a cat"] * 2), [1, 1])
    np.testing.assert_array_equal(rate(SEVERAL, IMAGES, ["a cat"] * 2), [[1, 1], [2, 2]])


def test_names_and_thresholds_of_several_scores_are_those_of_each():
    assert score_names(Fixed(1)) == "fixed 1"
    assert score_names(SEVERAL) == {"one": "fixed 1", "two": "fixed 2"}
    assert thresholds_of(Fixed(1)) == 0.5
    thresholds = thresholds_of(SEVERAL)
    assert thresholds.dims == ("evaluator",)
    assert thresholds.sel(evaluator="two") == -1


def test_texts_are_checked_by_every_score():
    check_texts(SEVERAL, ["a cat"])
    with pytest.raises(ParameterError, match="unknown"):
        check_texts({**SEVERAL, "three": Fixed(3, texts=())}, ["a cat"])
    with pytest.raises(ParameterError, match="there is no score"):
        check_texts({}, ["a cat"])


def test_images_and_texts_are_counted():
    check_counts(IMAGES, ["a cat"] * 2)
    with pytest.raises(ParameterError, match="2 images need as many texts, got 1"):
        check_counts(IMAGES, ["a cat"])
    with pytest.raises(ParameterError, match="1 images need as many texts, got 2"):
        judge_score()(np.zeros((1, 64, 64, 3), np.uint8), ["cat", "car"])
