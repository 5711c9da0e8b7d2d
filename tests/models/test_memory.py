import diffusers
import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.errors import ModelError
from hrvlab.models.load import fingerprint, load
from hrvlab.models.memory import decoding_settings
from tests.pipelines import tiny_sd

CALL = {"num_inference_steps": 2, "progress": False}
CUDA = torch.cuda.is_available()
OLD = diffusers.__version__.startswith("0.39.")
GROUPS_NEED_AN_ACCELERATOR = OLD and not torch.accelerator.is_available()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_sd().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("offload", ["model", "group", *(["sequential"] if CUDA else [])])
def test_weights_that_wait_elsewhere_give_the_same_images_votes_and_fingerprint(
    folder, concepts, offload
):
    if offload == "group" and GROUPS_NEED_AN_ACCELERATOR:
        with pytest.raises(ModelError, match="only where there is an accelerator"):
            load(folder, offload=offload, device="cpu")
        return
    pipe, plain = (
        load(folder, offload=one, device=None if CUDA else "cpu") for one in (offload, "none")
    )
    np.testing.assert_allclose(
        hl.generate(pipe, "a red car", **CALL).astype(int),
        hl.generate(plain, "a red car", **CALL).astype(int),
        atol=1,
    )
    votes = [hl.collect_votes(one, concepts, "a red car", **CALL) for one in (pipe, plain)]
    np.testing.assert_array_equal(*(one["votes_by_prompt"] for one in votes))
    assert fingerprint(pipe) == fingerprint(plain)


def test_on_the_cpu_layers_cannot_wait_on_the_cpu(folder):
    with pytest.raises(ModelError, match="where this model is anyway; leave it out"):
        load(folder, offload="sequential", device="cpu")


def test_images_may_be_decoded_one_at_a_time_and_in_tiles(folder):
    pipe = load(folder, slicing=True, tiling=True, device="cpu")
    given = {**CALL, "height": 16, "width": 32}
    images = hl.generate(pipe, ["a red car", "a cat"], **given)
    plain = hl.generate(load(folder, device="cpu"), ["a red car", "a cat"], **given)
    assert images.shape == plain.shape
    assert not np.array_equal(images, plain)
    assert decoding_settings(pipe) == {"slicing": True, "tiling": True}
    assert decoding_settings(tiny_sd()) == {}
