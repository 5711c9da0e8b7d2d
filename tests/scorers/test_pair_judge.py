import numpy as np
import pytest

from hrvlab.errors import ModelError, ParameterError
from hrvlab.scorers.pair_judge import PARTS, enlarge, look, pair_score, raw_score, read_phrase


@pytest.fixture(scope="module")
def score():
    return pair_score()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)


def test_a_phrase_is_an_object_with_or_without_a_color():
    assert read_phrase("a red cat") == ("red", "cat")
    assert read_phrase("a cat") == read_phrase("cat") == (None, "cat")


def test_the_parts_are_left_and_right_and_fill_an_image():
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[:, :, 32:] = 255
    left, right = (enlarge(image, box) for box in PARTS)
    assert left.shape == right.shape == image.shape
    assert left.mean() < 32
    assert right.mean() > 223


def test_an_object_counts_where_it_is_likeliest_and_a_color_with_its_object(score, images):
    views = look(score.judge, images)
    objects = [view["object"].sel(object_answer="cat").values for view in views]
    colors = [part["color"].sel(color_answer="red").values for part in views[:2]]
    for index in range(len(images)):
        assert raw_score(views, index, "a cat") == max(o[index] for o in objects)
        both = [o[index] * c[index] for o, c in zip(objects[:2], colors, strict=True)]
        assert raw_score(views, index, "a red cat") == pytest.approx(max(both), rel=1e-6)


def test_at_the_threshold_the_score_is_one_half(score, images):
    views = look(score.judge, images)
    for text, threshold in zip(("a cat", "a red cat"), score.raw_thresholds, strict=True):
        raw = np.array([raw_score(views, index, text) for index in range(len(images))])
        rated = score(images, [text] * len(images))
        expected = raw / (1 - raw) * (1 - threshold) / threshold
        np.testing.assert_allclose(rated, expected / (1 + expected), rtol=1e-4)
        np.testing.assert_array_equal(rated >= score.threshold, raw >= threshold)


def test_of_several_phrases_the_one_with_the_lowest_score_counts(score, images):
    whole = score(images, ["a red cat and a blue car"] * 4)
    phrases = [score(images, [phrase] * 4) for phrase in ("a red cat", "a blue car")]
    np.testing.assert_array_equal(whole, np.minimum(*phrases))


@pytest.mark.parametrize("text", ["a zebra", "a loud cat", "a cat and a zebra", ""])
def test_a_phrase_that_the_judge_does_not_know_is_refused(score, text):
    with pytest.raises(ParameterError, match="the judge does not know"):
        score.check([text])


def test_a_text_for_every_image_and_a_calibrated_judge_are_required(score, images, tmp_path):
    with pytest.raises(ParameterError, match="4 images need as many texts, got 1"):
        score(images, ["a cat"])
    with pytest.raises(ModelError, match="there is no pairs.json"):
        pair_score(tmp_path)


def test_the_shipped_judge_is_right_about_nine_of_ten_claims_of_every_kind(score):
    rows = [row for row in score.rates if row["images"] == "rendered"]
    assert rows
    for row in rows:
        assert row["correct"] / row["of"] > 0.9, row["question"]
