import numpy as np
import pytest
import torch

from hrvlab.miniature.dataset import TRAINING_WORLD
from hrvlab.miniature.denoising import denoiser_stage
from hrvlab.miniature.examples import (
    EMPTY_CAPTIONS,
    LEARNED_LAST,
    MORE_OFTEN,
    WORDS_ALONE,
    WORDS_ALONE_FROM,
    scene_probabilities,
)
from hrvlab.miniature.scenes import sample_scene
from hrvlab.miniature.training import Budget
from tests.miniature.untrained import fill


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    fill(folder)
    return denoiser_stage(folder, side=64, images=250, budget=Budget(10), batch=400)


def test_batches_have_unit_latents_stratified_times_and_tokens(stage):
    clean, noise, timesteps, alpha, ids, _ = stage.sample(np.random.default_rng(0), 0.5)
    assert clean.shape == noise.shape == (400, 6, 16, 16)
    assert clean.std() == pytest.approx(1, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert np.histogram(timesteps, 40, (0, 1000))[0].tolist() == [10] * 40
    assert alpha.dtype == torch.float32
    assert ids.shape == (400, 32)


def test_words_are_alone_after_a_while_except_in_empty_captions(stage):
    empty = stage.model.text_encoder.config.eos_token_id
    early = stage.sample(np.random.default_rng(0), WORDS_ALONE_FROM / 2)
    late = stage.sample(np.random.default_rng(0), WORDS_ALONE_FROM)
    dropped = late[4][:, 1] == empty
    assert not early[5].any()
    assert not (late[5] & dropped).any()
    assert dropped.float().mean() == pytest.approx(EMPTY_CAPTIONS, abs=0.05)
    assert late[5][~dropped].float().mean() == pytest.approx(WORDS_ALONE, abs=0.1)


def test_a_batch_depends_on_its_generator_alone(stage):
    one, other = (stage.sample(np.random.default_rng(5), 0.5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_single_objects_with_what_is_learned_last_are_sampled_more_often():
    found = scene_probabilities(2000)
    scenes = [sample_scene(TRAINING_WORLD, index) for index in range(2000)]
    often = np.array(
        [len(s.figures) == 1 and not set(LEARNED_LAST).isdisjoint(s.attributes) for s in scenes]
    )
    assert 0 < often.sum() < 2000
    np.testing.assert_allclose(found.sum(), 1)
    np.testing.assert_allclose(found / found.min(), np.where(often, MORE_OFTEN, 1))
