import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hrvlab.errors import ModelError, ParameterError
from hrvlab.scorers.judge import CONFIG, WEIGHTS, JudgeNetwork, JudgeScore, load_judge

QUESTIONS = {"object": ["cat", "car", "key"], "color": ["none", "red", "blue"]}
IMAGES = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_file(JudgeNetwork(QUESTIONS).state_dict(), tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps({"questions": QUESTIONS}))
    return tmp_path


def test_objects_have_probabilities_of_their_own_and_those_of_other_answers_sum_to_1(folder):
    seen = load_judge(folder)(IMAGES)
    assert seen["object"].dims == ("image", "object_answer")
    assert list(seen["color_answer"].values) == QUESTIONS["color"]
    np.testing.assert_allclose(seen["color"].sum("color_answer"), 1, rtol=1e-5)
    assert ((seen["object"] > 0) & (seen["object"] < 1)).all()


def test_the_answer_is_the_most_probable_one(folder):
    judge = load_judge(folder)
    seen = judge(IMAGES)
    for name, answers in judge.answers(IMAGES).items():
        best = seen[name].values.argmax(1)
        assert answers == [QUESTIONS[name][index] for index in best]


def test_the_objects_listed_are_those_more_likely_than_not(folder):
    judge = load_judge(folder)
    listed = [[name in names for name in QUESTIONS["object"]] for names in judge.objects(IMAGES)]
    np.testing.assert_array_equal(listed, judge(IMAGES)["object"] > 0.5)


def test_an_image_is_judged_alike_alone_and_among_others(folder):
    judge = load_judge(folder)
    together = judge(IMAGES)["color"]
    alone = [judge(IMAGES[i : i + 1])["color"][0] for i in range(len(IMAGES))]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_images_of_another_size_are_refused(folder):
    with pytest.raises(ParameterError, match=r"shape \(image, 64, 64, 3\); got \(1, 32, 32, 3\)"):
        load_judge(folder)(np.zeros((1, 32, 32, 3), np.uint8))


def test_a_folder_without_a_judge_is_refused(tmp_path):
    with pytest.raises(ModelError, match="there is no judge in"):
        load_judge(tmp_path)


@pytest.fixture
def judge(folder):
    return load_judge(folder)


def test_a_judge_s_score_is_the_probability_of_the_text(judge):
    seen = judge(IMAGES[:3])
    expected = [seen["object"][0, 1], seen["color"][1, 2], seen["object"][2, 0]]
    for texts in (["car", "blue", "cat"], ["car", "blue-colored", "cat"]):
        np.testing.assert_allclose(JudgeScore(judge, "judge")(IMAGES[:3], texts), expected)


@pytest.mark.parametrize("text", ["none", "dog"])
def test_a_text_that_the_judge_does_not_know_is_refused(judge, text):
    with pytest.raises(
        ParameterError, match=f"the judge does not know '{text}'; .* questions: object, color"
    ):
        JudgeScore(judge, "judge")(np.zeros((1, 64, 64, 3), np.uint8), [text])
