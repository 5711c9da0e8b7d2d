import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.scorers.base import (
    check_counts,
    check_texts,
    rate,
    reaches,
    score_names,
    score_thresholds,
    thresholds_of,
)
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


SEVERAL = {"one": Fixed(1), "two": Fixed(2, threshold=None)}


def test_one_score_rates_by_image_and_several_by_score_and_image():
    np.testing.assert_array_equal(rate(Fixed(1), IMAGES, ["a cat"] * 2), [1, 1])
    np.testing.assert_array_equal(rate(SEVERAL, IMAGES, ["a cat"] * 2), [[1, 1], [2, 2]])


def test_names_and_thresholds_of_several_scores_are_those_of_each():
    assert score_names(Fixed(1)) == "fixed 1"
    assert score_names(SEVERAL) == {"one": "fixed 1", "two": "fixed 2"}
    assert thresholds_of(Fixed(1)) == 0.5
    thresholds = thresholds_of(SEVERAL)
    assert thresholds.dims == ("evaluator",)
    assert thresholds.sel(evaluator="one") == 0.5
    assert np.isnan(thresholds.sel(evaluator="two"))


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


class Answering(Fixed):
    """A score that answers with what it is given."""

    def __call__(self, images, texts):
        return self.value


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0.5, np.nan], "of 'a cat' is nan"),
        ([np.inf, 0.5], "of 'a cat' is inf"),
        ([0.5], r"shape \(1,\) for 2 images"),
        (0.5, r"shape \(\) for 2 images"),
        ([[0.5, 0.5]], r"shape \(1, 2\) for 2 images"),
        (["high", "low"], "other than numbers"),
        ([0.5, None], "for 2 images|finite|other than numbers"),
        ([[1], [1, 2]], "other than numbers"),
        (np.array(["0.5", "0.7"]), "one number for each"),
    ],
)
def test_a_score_that_is_not_one_finite_number_for_each_image_is_refused(answer, message):
    with pytest.raises(ParameterError, match=message):
        rate({"one": Answering(answer)}, IMAGES, ["a cat"] * 2)


@pytest.mark.parametrize("answer", [[1, 2], np.array([1.0, 2.0]), [True, False]])
def test_any_real_numbers_become_float32(answer):
    rates = rate(Answering(answer), IMAGES, ["a cat"] * 2)
    assert rates.dtype == np.float32
    np.testing.assert_array_equal(rates, np.asarray(answer, float))


def test_images_that_were_withheld_are_not_rated():
    seen = []

    class Looking(Fixed):
        def __call__(self, images, texts):
            seen.append((len(images), list(texts)))
            return super().__call__(images, texts)

    score, texts = Looking(0.7), ["a", "b"]
    one = rate(score, IMAGES, texts, np.array([True, False]))
    assert np.isnan(one[0])
    assert one[1] == np.float32(0.7)
    assert np.isnan(rate({"x": score}, IMAGES, texts, np.array([True, True]))).all()
    rate(score, IMAGES, texts, np.array([False, False]))
    assert seen == [(1, ["b"]), (2, ["a", "b"])]


def test_a_score_of_another_form_is_refused_before_anything_is_rated():
    class Old:
        name, least = "old", 0.0
        check = __call__ = print

    for use in (lambda score: check_texts(score, ["a cat"]), score_names, score_thresholds):
        with pytest.raises(ParameterError, match="'old' has no threshold .called least in hrvlab"):
            use({"one": Fixed(1), "two": Old()})
        with pytest.raises(ParameterError, match="function is not a score: it needs a text"):
            use(lambda images, texts: [1.0])
    with pytest.raises(ParameterError, match="is 'high'; give a number or None"):
        check_texts(Fixed(1, threshold="high"), ["a cat"])


def test_whether_an_image_shows_its_text_is_not_known_without_a_threshold_or_a_score():
    scores = xr.DataArray(
        [[0.4, 0.6], [1.5, 2.5]], {"evaluator": list(SEVERAL)}, ("evaluator", "image")
    )
    shown = reaches(scores, thresholds_of(SEVERAL))
    np.testing.assert_array_equal(shown, [[0, 1], [np.nan, np.nan]])
    known = reaches(scores[0], 0.5)
    assert known.dtype == bool
    assert known.values.tolist() == [False, True]
    np.testing.assert_array_equal(reaches(scores[0].where(scores[0] > 0.5), 0.5), [np.nan, 1])
    assert np.isnan(reaches(scores[0], None)).all()
