from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError
from hrvlab.generation import WithheldWarning
from hrvlab.noise import initial_noise
from tests.pipelines import tiny_sd, withholding

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


def test_images_that_are_withheld_are_named_in_a_warning(tiny_pipe):
    pipe = withholding(tiny_pipe)
    with pytest.warns(WithheldWarning, match=r"2 of 2 images black, .*'a blue cat' \(seed 0\)"):
        made = hl.generate(pipe, PROMPTS[:2], **STEPS)
    assert not made.any()


def test_one_negative_prompt_for_all_is_as_in_the_plain_pipeline(tiny_pipe):
    noise = torch.cat([initial_noise(tiny_pipe, [0], index) for index in range(3)])
    plain = tiny_pipe(
        PROMPTS, negative_prompt=["blue dog"] * 3, latents=noise, num_inference_steps=2,
        output_type="np",
    ).images  # fmt: skip
    ours = hl.generate(tiny_pipe, PROMPTS, negative_prompt="blue dog", batch_size=2, **STEPS)
    assert np.abs(ours - np.round(plain * 255)).max() <= 1


def unguided(pipe, step, timestep, given):
    if step == 1:
        given["prompt_embeds"] = given["prompt_embeds"].chunk(2)[-1]
        pipe._guidance_scale = 0.0
    return given


def test_an_edit_follows_guidance_that_a_callback_switches_off(tiny_pipe):
    call = {"num_inference_steps": 4, "progress": False, "callback_on_step_end": unguided}
    call["callback_on_step_end_tensor_inputs"] = ["prompt_embeds"]
    prompts = ["a red car", "a red cat"]
    plain = hl.generate(tiny_pipe, prompts, **call)
    for window in ((0, None), (3, None)):
        edit = hl.Rescale(np.full(8, -2.0), "red", window)
        edited = hl.generate(tiny_pipe, prompts, edit=edit, **call)
        assert (edited != plain).any(axis=(1, 2, 3)).all()


def test_only_the_masked_region_is_painted_anew():
    pipe = StableDiffusionInpaintPipeline(**tiny_sd().components, requires_safety_checker=False)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    call = {"image": Image.fromarray(image), "mask_image": Image.fromarray(mask)}
    made = hl.generate(pipe, "a red car", **call, padding_mask_crop=2, height=16, width=16, **STEPS)
    assert made.shape == (1, 32, 32, 3)
    np.testing.assert_array_equal(made[0][mask == 0], image[mask == 0])
    assert (made[0][mask > 0] != image[mask > 0]).any()


@pytest.mark.parametrize("empty", [[], (), pd.Series([], dtype=str)])
def test_an_edit_without_words_is_refused(empty):
    with pytest.raises(ParameterError, match="the list of words is empty"):
        hl.Rescale(np.ones(8), empty)


@pytest.mark.parametrize("column", [list, tuple, np.array, pd.Series])
def test_words_of_an_edit_may_be_any_kind_of_column(tiny_pipe, column):
    edited = hl.generate(tiny_pipe, PROMPTS[0], edit=hl.Rescale(np.full(8, -2.0), "red"), **STEPS)
    edit = hl.Rescale(np.full(8, -2.0), column(["red"]))
    np.testing.assert_array_equal(hl.generate(tiny_pipe, PROMPTS[0], edit=edit, **STEPS), edited)


def test_mixed_precision_around_an_edit_keeps_its_type_and_effect(tiny_pipe):
    edit = hl.Rescale(np.full(8, -2.0), "red")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = hl.generate(tiny_pipe, PROMPTS[0], **STEPS)
        edited = hl.generate(tiny_pipe, PROMPTS[0], edit=edit, **STEPS)
        pair = hl.edit(tiny_pipe, "a red car", "a blue car", **STEPS)
    assert (edited != plain).any()
    assert (pair[0] != pair[1]).any()
