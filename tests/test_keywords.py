"""Keywords of a pipeline's own call, of every kind and for every batch."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import hrvlab as hl
from hrvlab.errors import HrvlabError, ParameterError
from hrvlab.keywords import PerImage, PerPrompt, check_call, for_batch
from hrvlab.noise import image_generator
from tests.pipelines import tiny_sd, tiny_sdxl

PROMPTS = ["a red car", "a cat", "a tree"]
STEPS = {"num_inference_steps": 2, "progress": False}


def img2img():
    pipe = StableDiffusionImg2ImgPipeline(**tiny_sd().components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generators(count):
    return [torch.Generator().manual_seed(number) for number in range(count)]


def picture(number):
    noise = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 8))
def test_batches_together_have_every_value_once_in_order(prompts, seeds, size):
    call = {
        "negative_prompt": PerPrompt([str(number) for number in range(prompts)]),
        "latents": PerImage(torch.arange(prompts * seeds)),
        "guidance_scale": 3.0,
    }
    indices = [number for number in range(prompts) for _ in range(seeds)]
    texts, latents = [], []
    for first in range(0, len(indices), size):
        own = indices[first : first + size]
        batch = for_batch(call, own, first, len(own))
        texts += batch["negative_prompt"]
        latents += batch["latents"].tolist()
        assert batch["guidance_scale"] == 3.0
    assert texts == [str(number) for number in indices]
    assert latents == list(range(prompts * seeds))


COLUMNS = (list, tuple, np.array, pd.Series, lambda v: pd.Series(v, index=range(5, 5 + len(v))))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_negative_prompt_of_each_prompt_may_be_any_kind_of_column(tiny_pipe, column):
    own = check_call(tiny_pipe, {"negative_prompt": column(["a", "b"])}, prompts=2, images=2)
    assert own["negative_prompt"].take([1, 0, 1]) == ["b", "a", "b"]


@pytest.mark.parametrize("kind", ["images", "arrays", "array", "tensor", "tensors", "column"])
def test_an_image_of_each_prompt_follows_its_prompt_through_all_batches(kind):
    pipe, pictures = img2img(), [picture(number) for number in range(3)]
    arrays = [np.asarray(one) / np.float32(255) for one in pictures]
    tensors = [torch.from_numpy(one).permute(2, 0, 1) for one in arrays]
    images = {
        "images": pictures,
        "arrays": arrays,
        "array": np.stack(arrays),
        "tensor": torch.stack(tensors),
        "tensors": tensors,
        "column": pd.Series(pictures),
    }[kind]
    call = {"strength": 0.5, "num_inference_steps": 4, "progress": False}
    alone = [
        hl.generate(pipe, PROMPTS, image=one, **call)[number] for number, one in enumerate(pictures)
    ]
    for more in ({"batch_size": 2}, {"batch_size": 4, "seed": [0, 1]}):
        made = hl.generate(pipe, PROMPTS, image=images, **more, **call)
        of_first_seed = made[:: len(made) // 3]
        assert np.abs(of_first_seed.astype(int) - np.stack(alone)).max() <= 1


@pytest.mark.parametrize(
    "number", [np.int64(4), np.array([4])[0], pd.Series([4])[0], np.float32(7.5)]
)
def test_numbers_of_numpy_and_pandas_are_pythons(tiny_pipe, number):
    name = "guidance_scale" if number == 7.5 else "num_inference_steps"
    own = check_call(tiny_pipe, {name: number}, prompts=1, images=1)
    assert type(own[name]) in (int, float)


def test_votes_with_numbers_of_numpy_have_the_same_plan(tiny_pipe, concepts, tmp_path):
    for steps, scale in ((np.int64(2), np.float32(7.5)), (2, 7.5)):
        hl.collect_votes(
            tiny_pipe, concepts, PROMPTS, store=tmp_path, progress=False,
            num_inference_steps=steps, guidance_scale=scale,
        )  # fmt: skip
    assert len([folder for folder in tmp_path.iterdir() if folder.is_dir()]) == 1


@pytest.mark.parametrize("name", ["generate", "capture", "votes"])
def test_one_generator_or_one_for_each_image_is_taken(tiny_pipe, concepts, name):
    def run(generator):
        call = {"generator": generator, "batch_size": 2, **STEPS}
        if name == "generate":
            return hl.generate(tiny_pipe, PROMPTS, **call)
        if name == "capture":
            return hl.capture(tiny_pipe, PROMPTS, **call)["image"].values
        return hl.collect_votes(tiny_pipe, concepts, PROMPTS, **call)["votes_by_prompt"].values

    several = run(tuple(generators(3)))
    np.testing.assert_array_equal(several, run(generators(3)))
    single = run(torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(single, run(torch.Generator().manual_seed(0)))
    if name == "generate":
        alone = tiny_pipe(
            PROMPTS[0], generator=generators(1), num_inference_steps=2, output_type="np"
        )
        assert np.abs(several[0] - np.round(alone.images[0] * 255)).max() <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"guidance_scal": 1.0}, "no keyword guidance_scal; did you mean guidance_scale"),
        ({"nothing_like_it": 1.0}, "no keyword nothing_like_it; it takes prompt"),
        ({"kwargs": 1}, "no keyword kwargs"),
        ({"prompt": "a dog"}, "the prompts are given as the first argument; leave out prompt"),
        ({"output_type": "pil"}, "leave out output_type"),
        ({"return_dict": False}, "leave out return_dict"),
        ({"callback": print}, "replaced it by callback_on_step_end; leave out callback"),
        ({"callback_steps": 1}, "leave out callback_steps"),
        ({"generator": 0}, "generator is 0; give a torch.Generator .* or the seed as seed="),
        ({"generator": []}, "generator has 0 values, there are 3 images"),
        ({"generator": [1, 2, 3]}, "give a torch.Generator"),
        ({"latents": np.zeros((3, 4, 8, 8))}, "latents is of type ndarray; give a torch.Tensor"),
        ({"latents": torch.zeros(2, 4, 8, 8)}, "latents has 2 values, there are 3 images"),
        ({"prompt_embeds": [1.0]}, "prompt_embeds is of type list; give a torch.Tensor"),
        ({"negative_prompt": ["a", "b"]}, "negative_prompt has 2 values, there are 3 prompts"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0"),
        ({"num_images_per_prompt": True}, "num_images_per_prompt is True"),
        ({"num_images_per_prompt": None}, "num_images_per_prompt is None"),
        ({"num_inference_steps": 0}, "PNDMScheduler does not take num_inference_steps=0"),
        ({"num_inference_steps": "4"}, "does not take num_inference_steps=4"),
        ({"timesteps": [900, 1]}, "PNDMScheduler does not take timesteps"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "name",
    ["generate", *(pytest.param(n, marks=pytest.mark.full) for n in ("capture", "votes", "edit"))],
)
def test_a_wrong_keyword_is_refused_by_name_before_anything_runs(
    tiny_pipe, concepts, name, call, message
):
    def fail(*_):
        raise AssertionError("a part of the pipeline ran")

    tiny_pipe.unet.register_forward_pre_hook(fail)
    tiny_pipe.text_encoder.register_forward_pre_hook(fail)
    if name in ("votes", "edit") and {"num_images_per_prompt", "prompt_embeds"} & call.keys():
        message = f"leave out {next(iter(call))}|give a torch.Tensor"
    call = {"progress": False, **call}
    with pytest.raises(ParameterError, match=message) as refused:
        if name == "generate":
            hl.generate(tiny_pipe, PROMPTS, **call)
        elif name == "capture":
            hl.capture(tiny_pipe, PROMPTS, **call)
        elif name == "votes":
            hl.collect_votes(tiny_pipe, concepts, PROMPTS, **call)
        else:
            hl.edit(tiny_pipe, PROMPTS, [f"{text} on" for text in PROMPTS], **call)
    assert "\n" not in str(refused.value)


def test_none_is_the_default_of_every_keyword(tiny_pipe):
    names = ["negative_prompt", "generator", "latents", "prompt_embeds", "height", "clip_skip"]
    call = dict.fromkeys(names)
    plain = hl.generate(tiny_pipe, PROMPTS, **STEPS)
    np.testing.assert_array_equal(hl.generate(tiny_pipe, PROMPTS, **call, **STEPS), plain)
    how = hl.Excitation(side=1 / 2)
    excited = hl.excite(tiny_pipe, "a red car", "car", preset=how, latents=None, **STEPS)
    assert excited.images.shape == (1, 16, 16, 3)


def test_a_callback_in_votes_that_are_stored_is_refused_by_its_type(tiny_pipe, concepts, tmp_path):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(HrvlabError, match="callback_on_step_end"):
        hl.collect_votes(
            tiny_pipe, concepts, PROMPTS, store=tmp_path, callback_on_step_end=print, **STEPS
        )
    assert not calls
    votes = hl.collect_votes(
        tiny_pipe, concepts, PROMPTS, callback_on_step_end=lambda *args: args[-1], **STEPS
    )
    assert "lambda" in votes.attrs["parameters"]


def test_keywords_reach_the_workers_of_a_cluster(tiny_pipe):
    call = {
        "generator": [image_generator(0, number) for number in range(2)],
        "latents": torch.randn(2, 4, 8, 8),
        "negative_prompt": ["a", "b"],
        "guidance_scale": np.float64(3.0),
    }
    own = check_call(tiny_pipe, call, prompts=2, images=2)
    sent = pickle.loads(pickle.dumps(own))
    batches = [for_batch(one, [0, 1], 0, 2) for one in (own, sent)]
    draws = [[torch.randn(3, generator=g).tolist() for g in one["generator"]] for one in batches]
    assert draws[0] == draws[1]
    assert torch.equal(batches[0]["latents"], batches[1]["latents"])


def test_a_start_of_ones_own_takes_the_place_of_the_strength():
    pipe = StableDiffusionXLImg2ImgPipeline(**tiny_sdxl().components)
    pipe.set_progress_bar_config(disable=True)
    seen = []
    pipe.unet.register_forward_pre_hook(lambda *_: seen.append(1))
    edit = hl.Rescale(
        np.full(hl.head_table(pipe.unet).sizes["head_position"], -2.0), window=(6, None)
    )
    hl.generate(
        pipe, "a red car", edit=edit, image=torch.ones(1, 4, 8, 8), denoising_start=0.2,
        num_inference_steps=10, progress=False,
    )  # fmt: skip
    assert len(seen) > 6
