from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError

PROMPTS = ["a red car", "a blue cat", "a tree"]
STEPS = {"num_inference_steps": 2, "progress": False}


def test_images_come_prompt_by_prompt_and_seed_by_seed(tiny_pipe):
    both = hl.generate(tiny_pipe, PROMPTS, seed=[0, 5], **STEPS)
    assert both.shape == (6, 16, 16, 3)
    assert both.dtype == np.uint8
    alone = hl.generate(tiny_pipe, PROMPTS, seed=5, **STEPS)
    assert (np.abs(both[1::2].astype(int) - alone) <= 1).all()


def test_the_batch_size_does_not_change_an_image(tiny_pipe):
    one = hl.generate(tiny_pipe, PROMPTS, batch_size=1, **STEPS)
    three = hl.generate(tiny_pipe, PROMPTS, batch_size=3, **STEPS)
    assert (np.abs(one.astype(int) - three) <= 1).all()


def test_repeating_a_generation_yields_the_same_bits(tiny_pipe):
    first = hl.generate(tiny_pipe, PROMPTS, **STEPS)
    assert (first == hl.generate(tiny_pipe, PROMPTS, **STEPS)).all()


def test_different_seeds_and_prompts_have_different_noise(tiny_pipe):
    images = hl.generate(tiny_pipe, ["a red car"] * 2, seed=[0, 1], **STEPS)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    assert all((images[a] != images[b]).any() for a, b in pairs)


def test_given_latents_replace_the_seeded_ones(tiny_pipe):
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    ours = hl.generate(tiny_pipe, "a red car", latents=latents, **STEPS)
    plain = tiny_pipe("a red car", latents=latents, num_inference_steps=2, output_type="np")
    assert (ours == np.round(plain.images * 255)).all()


def test_several_images_of_a_prompt_differ(tiny_pipe):
    images = hl.generate(tiny_pipe, PROMPTS, num_images_per_prompt=2, **STEPS)
    assert len(images) == 6
    assert (images[0] != images[1]).any()


def test_an_edit_acts_on_the_images_of_every_batch(tiny_pipe):
    edit = hl.Rescale(np.full((3, 8), [[-2.0], [1.0], [-2.0]]))
    plain = hl.generate(tiny_pipe, PROMPTS, batch_size=2, **STEPS)
    edited = hl.generate(tiny_pipe, PROMPTS, batch_size=2, edit=edit, **STEPS)
    assert [(a != b).any() for a, b in zip(plain, edited, strict=True)] == [True, False, True]


def test_the_pipelines_progress_bar_is_left_as_it_was(tiny_pipe):
    tiny_pipe.set_progress_bar_config(desc="mine")
    hl.generate(tiny_pipe, "a red car", **STEPS)
    assert tiny_pipe._progress_bar_config == {"desc": "mine"}
    del tiny_pipe._progress_bar_config
    hl.generate(tiny_pipe, "a red car", **STEPS)
    assert not hasattr(tiny_pipe, "_progress_bar_config")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": []}, "list of prompts is empty"),
        ({"prompts": ["a red car", " "]}, "prompt 1 is ' '"),
        ({"prompts": "a red car", "seed": []}, "list of seeds is empty"),
        ({"prompts": "a red car", "seed": [0, -1]}, "seed is -1"),
        ({"prompts": "a red car", "batch_size": 0}, "batch_size is 0"),
        (
            {"prompts": "a red car", "latents": torch.zeros(2, 4, 8, 8)},
            "latents has 2 values, there are 1 images",
        ),
    ],
)
def test_impossible_requests_are_refused(tiny_pipe, arguments, message):
    with pytest.raises(ParameterError, match=message):
        hl.generate(tiny_pipe, **arguments)


@pytest.mark.parametrize("rows", [1, 3])
def test_an_edit_with_factors_for_more_or_fewer_prompts_is_refused(tiny_pipe, rows):
    edit = hl.Rescale(np.ones((rows, 8)))
    with pytest.raises(ParameterError, match=f"factors for {rows} prompts, there are 2"):
        hl.generate(tiny_pipe, PROMPTS[:2], edit=edit, **STEPS)


def test_a_word_missing_from_a_later_prompt_is_found_before_generating(tiny_pipe):
    edit = hl.Rescale(np.ones(8), "red")
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(TokenError, match="'a blue cat'"):
        hl.generate(tiny_pipe, PROMPTS, batch_size=1, edit=edit, **STEPS)
    assert not calls


def test_generations_of_two_threads_do_not_disturb_each_other(tiny_pipe):
    heads = hl.head_table(tiny_pipe.unet).sizes["head_position"]
    call = {"num_inference_steps": 4, "progress": False}
    edits = {"plain": (), "weakened": hl.Rescale(np.full(heads, -2.0))}
    alone = {name: hl.generate(tiny_pipe, "a red car", edit=e, **call) for name, e in edits.items()}
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            (name, pool.submit(hl.generate, tiny_pipe, "a red car", edit=edits[name], **call))
            for name in list(edits) * 4
        ]
    for name, job in jobs:
        np.testing.assert_array_equal(job.result(), alone[name])
