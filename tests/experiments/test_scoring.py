import shutil

import numpy as np
import pytest
import torch

from hrvlab.errors import ModelError, ParameterError
from hrvlab.experiments.judge import Judge, JudgeNetwork
from hrvlab.experiments.scoring import JudgeScore, clip_score
from tests.pipelines import save_tiny_clip

IMAGES = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)
TEXTS = ["red", "a blue cat", "dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip")
    save_tiny_clip(path)
    return path


def test_a_score_is_the_cosine_of_the_two_embeddings(folder):
    score = clip_score(folder)
    found = score(IMAGES, TEXTS)
    for image, text, value in zip(IMAGES, TEXTS, found, strict=True):
        pixels = score.processor(images=image, return_tensors="pt").pixel_values
        ids = score.processor(text=text, return_tensors="pt").input_ids
        with torch.no_grad():
            picture = score.model.visual_projection(score.model.vision_model(pixels).pooler_output)[
                0
            ]
            words = score.model.text_projection(score.model.text_model(ids).pooler_output)[0]
        assert value == pytest.approx(
            float(torch.cosine_similarity(picture, words, dim=0)), abs=1e-5
        )
    assert found.dtype == np.float32


def test_a_template_says_more_than_the_word(folder):
    plain, templated = clip_score(folder), clip_score(folder, template="a photo of a {}")
    np.testing.assert_allclose(
        templated(IMAGES, TEXTS), plain(IMAGES, [f"a photo of a {text}" for text in TEXTS])
    )
    assert plain.name != templated.name


def test_a_template_without_a_place_for_the_text_is_refused(folder):
    with pytest.raises(ParameterError, match="must hold one {} for the text"):
        clip_score(folder, template="a photo")


def test_every_picture_needs_its_text(folder):
    with pytest.raises(ParameterError, match="3 pictures need as many texts, got 1"):
        clip_score(folder)(IMAGES, ["red"])


def test_scores_that_are_not_finite_are_an_error(folder):
    score = clip_score(folder)
    score.model.visual_projection.weight.data.fill_(torch.nan)
    with pytest.raises(ParameterError, match="not finite"):
        score(IMAGES, TEXTS)


def test_a_folder_without_a_clip_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot load CLIP"):
        clip_score(tmp_path)


@pytest.fixture
def judge():
    torch.manual_seed(0)
    questions = {"object": ["cat", "car"], "color": ["none", "red", "blue"]}
    return Judge(JudgeNetwork(questions).eval(), questions)


def test_a_judge_s_score_is_the_probability_of_the_text(judge):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    seen = judge(pictures)
    expected = [seen["object"][0, 1], seen["color"][1, 2], seen["object"][2, 0]]
    for texts in (["car", "blue", "cat"], ["car", "blue-colored", "cat"]):
        np.testing.assert_allclose(JudgeScore(judge, "judge")(pictures, texts), expected)


@pytest.mark.parametrize("text", ["none", "dog"])
def test_a_judge_is_not_asked_for_what_it_does_not_know(judge, text):
    with pytest.raises(ParameterError, match=f"the judge knows no {text}"):
        JudgeScore(judge, "judge")(np.zeros((1, 64, 64, 3), np.uint8), [text])


def test_scores_of_other_weights_have_other_names(folder, tmp_path):
    score = clip_score(folder)
    assert clip_score(folder).name == score.name
    assert clip_score(folder, template="a {}").name != score.name
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    score.model.text_projection.weight.data += 1
    score.model.save_pretrained(other)
    assert clip_score(other).name != clip_score(folder).name


def test_pictures_are_scored_alike_in_any_number(folder):
    score = clip_score(folder)
    many = score(np.tile(IMAGES, (50, 1, 1, 1)), TEXTS * 50)
    np.testing.assert_allclose(many, np.tile(score(IMAGES, TEXTS), 50), atol=1e-5)
