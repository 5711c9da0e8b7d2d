"""Votes in pipelines around the same UNet."""

import inspect

import diffusers
import numpy as np
import pytest

import hrvlab as hl
from tests.test_every_keyword import picture
from tests.variants import variant

PROMPTS = ["a red car", "a blue cat"]
CALL = {"num_inference_steps": 2, "progress": False}


def plain(pipe):
    """Return the pipeline of text to image that has the same parts."""
    cls = diffusers.StableDiffusionPipeline
    taken = inspect.signature(cls.__init__).parameters
    parts = {name: part for name, part in pipe.components.items() if name in taken}
    made = cls(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def check_sums(votes):
    """Check that every head votes once for each prompt in each call."""
    number = votes.sizes["prompt"] * votes.sizes["timestep"]
    assert (votes["votes_by_prompt"].sum(("prompt", "concept")) == number).all()


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("StableDiffusionControlNetPipeline", {"controlnet_conditioning_scale": 0.0}),
        ("StableDiffusionPAGPipeline", {"pag_scale": 0.0}),
    ],
)
def test_what_does_nothing_leaves_the_votes_as_they_are(concepts, name, off):
    pipe = variant(name)
    given = {"image": picture(0)} if "ControlNet" in name else {}
    votes = hl.collect_votes(pipe, concepts, PROMPTS, **given, **off, **CALL)
    check_sums(votes)
    expected = hl.collect_votes(plain(pipe), concepts, PROMPTS, **CALL)
    np.testing.assert_array_equal(votes["votes_by_prompt"], expected["votes_by_prompt"])
    on = hl.collect_votes(pipe, concepts, PROMPTS, **given, **CALL)
    assert (on["votes_by_prompt"] != votes["votes_by_prompt"]).any()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("LatentConsistencyModelPipeline", {}),
        ("StableDiffusionInstructPix2PixPipeline", {"image": picture(0)}),
    ],
)
def test_votes_are_those_of_every_prompt_alone(concepts, name, given):
    pipe = variant(name)
    together = hl.collect_votes(pipe, concepts, PROMPTS, **given, **CALL)
    check_sums(together)
    alone = hl.collect_votes(pipe, concepts, PROMPTS, batch_size=1, **given, **CALL)
    np.testing.assert_array_equal(together["votes_by_prompt"], alone["votes_by_prompt"])
    assert (together["votes_by_prompt"][0] != together["votes_by_prompt"][1]).any()
