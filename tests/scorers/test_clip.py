import shutil

import numpy as np
import pytest
import torch

from hrvlab.errors import ModelError, ParameterError
from hrvlab.scorers.clip import clip_score
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
            seen = score.model.visual_projection(score.model.vision_model(pixels).pooler_output)[0]
            said = score.model.text_projection(score.model.text_model(ids).pooler_output)[0]
        assert value == pytest.approx(float(torch.cosine_similarity(seen, said, dim=0)), abs=1e-5)
    assert found.dtype == np.float32


def test_a_template_is_filled_with_the_text(folder):
    plain, templated = clip_score(folder), clip_score(folder, template="a photo of a {}")
    np.testing.assert_allclose(
        templated(IMAGES, TEXTS), plain(IMAGES, [f"a photo of a {text}" for text in TEXTS])
    )
    assert plain.name != templated.name


def test_a_template_without_braces_for_the_text_is_refused(folder):
    with pytest.raises(ParameterError, match="must hold one {} for the text"):
        clip_score(folder, template="a photo")


def test_every_image_needs_a_text(folder):
    with pytest.raises(ParameterError, match="3 images need as many texts, got 1"):
        clip_score(folder)(IMAGES, ["red"])


def test_scores_that_are_not_finite_are_an_error(folder):
    score = clip_score(folder)
    score.model.visual_projection.weight.data.fill_(torch.nan)
    with pytest.raises(ParameterError, match="not finite"):
        score(IMAGES, TEXTS)


def test_a_folder_without_a_clip_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot load CLIP"):
        clip_score(tmp_path)


def test_scores_of_other_weights_have_other_names(folder, tmp_path):
    score = clip_score(folder)
    assert clip_score(folder).name == score.name
    assert clip_score(folder, template="a {}").name != score.name
    other = tmp_path / folder.name
    shutil.copytree(folder, other)
    score.model.text_projection.weight.data += 1
    score.model.save_pretrained(other)
    assert clip_score(other).name != clip_score(folder).name


def test_images_are_scored_alike_in_any_number(folder):
    score = clip_score(folder)
    many = score(np.tile(IMAGES, (50, 1, 1, 1)), TEXTS * 50)
    np.testing.assert_allclose(many, np.tile(score(IMAGES, TEXTS), 50), atol=1e-5)
