import numpy as np
import pytest
import torch

from hrvlab.miniature.assembly import assemble_joint, load_joint
from hrvlab.miniature.autoencoder import trained_autoencoder
from hrvlab.miniature.checkpoints import averaged_weights
from hrvlab.miniature.clip import trained_clip
from hrvlab.miniature.examples import EMPTY_CAPTIONS
from hrvlab.miniature.flow import (
    CALL,
    POOLED_OF_ANOTHER,
    POOLED_OF_NONE,
    UNIFORM,
    joint_stage,
    noise_shares,
    scaled_encoders,
)
from hrvlab.miniature.joint import trained_transformer
from hrvlab.miniature.training import Budget, train
from tests.miniature.untrained import fill


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def stage(folder):
    return joint_stage(folder, side=64, images=250, budget=Budget(10), batch=400)


def test_noise_is_between_none_and_all_and_more_often_much():
    shares = noise_shares(np.random.default_rng(0), 4000)
    assert 0 < shares.min() < 0.02 < 0.98 < shares.max() <= 1
    assert 0.5 < np.median(shares) < 0.6
    assert (shares < 0.1).mean() > 0.1 * UNIFORM


def test_pooled_vectors_are_mostly_another_captions(stage):
    *_, ids, _, pooled_of = stage.sample(np.random.default_rng(0), 0.5)
    dropped = (ids[:-1] == ids[-1]).all(1)
    of_none, own = pooled_of == 400, pooled_of == torch.arange(400)
    assert ids.shape == (401, 32)
    assert dropped.float().mean() == pytest.approx(EMPTY_CAPTIONS, abs=0.05)
    assert of_none[dropped].all()
    assert of_none[~dropped].float().mean() == pytest.approx(POOLED_OF_NONE, abs=0.07)
    rest = 1 - POOLED_OF_ANOTHER - POOLED_OF_NONE
    assert own[~dropped].float().mean() == pytest.approx(rest, abs=0.07)
    others = pooled_of[~(of_none | own)]
    assert not (others == torch.arange(400).roll(1)[~(of_none | own)]).any()


def test_a_training_killed_and_resumed_ends_in_the_same_weights_and_saves_samples(folder, tmp_path):
    def stage(die_at=None):
        torch.manual_seed(0)
        built = joint_stage(folder, side=64, images=250, budget=Budget(3), batch=4, steps=1)
        sample, asked = built.sample, []

        def mortal(rng, progress):
            asked.append(progress)
            if len(asked) == die_at:
                raise KeyboardInterrupt
            return sample(rng, progress)

        object.__setattr__(built, "sample", mortal)
        return built

    train(stage(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(stage(die_at=3), tmp_path / "killed", save_every_s=0)
    train(stage(), tmp_path / "killed")
    whole, killed = (averaged_weights(tmp_path / name, "joint") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert (tmp_path / "killed" / "joint-samples" / "000003.png").exists()


def test_what_both_models_share_is_stored_once(folder, tmp_path):
    train(joint_stage(folder, side=64, images=250, budget=Budget(1), batch=2, steps=1), folder)
    clip, tokenizer = trained_clip(folder, 64)
    clip.save_pretrained(tmp_path / "miniature" / "clip")
    tokenizer.save_pretrained(tmp_path / "miniature" / "tokenizer")
    trained_autoencoder(folder, 64).save_pretrained(tmp_path / "miniature" / "vae")
    assemble_joint(folder, tmp_path / "joint", side=64, images=250)
    assert [path.parent.name for path in tmp_path.glob("joint/*/*.safetensors")] == ["transformer"]
    pipe = load_joint(tmp_path / "joint", tmp_path / "miniature")
    encoders, scale = scaled_encoders(folder, 64, 250)
    transformer = trained_transformer(folder, 64, scale)
    for own, trained in [
        (pipe.text_encoder, encoders[0]),
        (pipe.text_encoder_2, encoders[1]),
        (pipe.transformer, transformer),
    ]:
        theirs = trained.state_dict()
        assert own.state_dict().keys() == theirs.keys()
        for name, weight in own.state_dict().items():
            torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=1e-4)
    images = pipe("a cat", num_inference_steps=2, output_type="np", **CALL).images
    assert images.shape == (1, 64, 64, 3)
    assert pipe.encode_prompt("a cat", None, None, max_sequence_length=0)[0].shape == (1, 32, 256)
