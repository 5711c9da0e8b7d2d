import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionImg2ImgPipeline
from PIL import Image

import hrvlab as hl
from hrvlab.attention import Injection
from hrvlab.errors import ConceptError, ModelError, ParameterError, TokenError
from hrvlab.methods.prompt_to_prompt import edit
from hrvlab.models.alignment import align
from hrvlab.noise import initial_noise
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd

STEPS = {"num_inference_steps": 5, "progress": False}
SOURCES, TARGETS = ["a red car", "a photo of a cat"], ["a blue car", "a photo of a zebra"]


def test_the_source_image_is_that_of_its_prompt_alone(tiny_pipe):
    pairs = edit(tiny_pipe, SOURCES, TARGETS, seed=[0, 4], **STEPS)
    plain = hl.generate(tiny_pipe, SOURCES, seed=[0, 4], **STEPS)
    np.testing.assert_allclose(pairs[::2].astype(float), plain, atol=1)


def test_the_edited_image_is_neither_the_source_nor_the_target_alone(tiny_pipe):
    source, edited = edit(tiny_pipe, "a red car", "a blue car", **STEPS)
    (target,) = hl.generate(tiny_pipe, "a blue car", **STEPS)
    assert (edited != source).any()
    assert (edited != target).any()


@pytest.mark.parametrize(("given", "self_share"), [(False, 0.4), (True, 0.9)])
def test_attention_is_injected_as_published(tiny_pipe, given, self_share):
    hrv = vectors(tiny_pipe)
    with_vectors = {"hrv": hrv, "concept": "Color"} if given else {}
    _, edited = edit(tiny_pipe, "a red car", "a blue car", **with_vectors, **STEPS)
    injection = Injection(
        [align(tiny_pipe, "a red car", "a blue car")],
        hrv.sel(concept="Color").values if given else None,
        cross_share=0.8,
        self_share=self_share,
    )
    prompts = ["a red car", "a blue car"]
    with hl.attach(tiny_pipe, injection, prompts=prompts):
        noise = hl.generation.image_generator(0, 0)
        latents = torch.randn(1, 4, 8, 8, generator=noise).repeat(2, 1, 1, 1)
        images = tiny_pipe(prompts, latents=latents, num_inference_steps=5, output_type="np").images
    np.testing.assert_allclose(edited.astype(float), images[1] * 255, atol=1.01)


def test_without_strength_the_new_word_keeps_its_own_attention(tiny_pipe):
    hrv = vectors(tiny_pipe)
    settings = {"concept": "Color", "self_share": 0.4, **STEPS}
    ones = hl.relevance_from_array(
        np.ones_like(hrv.values), concepts=["Color", "Plants"], pipe=tiny_pipe
    )
    pair = ("a red car", "a blue car")
    weak = edit(tiny_pipe, *pair, hrv=hrv, hrv_strength=0.0, **settings)
    np.testing.assert_array_equal(weak, edit(tiny_pipe, *pair, hrv=ones, **settings))
    assert (weak != edit(tiny_pipe, *pair, self_share=0.4, **STEPS)).any()


@pytest.mark.parametrize(
    ("pair", "settings", "error", "message"),
    [
        ((SOURCES, TARGETS[:1]), {}, ParameterError, "2 sources need as many targets, got 1"),
        (("a red car", "a red car"), {}, TokenError, "replace, add or drop a word"),
        (
            ("a red car", "a car"),
            {"alignment": "published"},
            TokenError,
            "3 words and the target 2",
        ),
        (("a red car", "a blue car"), {"concept": "Color"}, ParameterError, "both hrv and concept"),
        (("a red car", "a blue car"), {"self_share": 2}, ParameterError, "self_share is 2"),
    ],
)
def test_bad_input_is_refused_before_generating(tiny_pipe, pair, settings, error, message):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=message):
        edit(tiny_pipe, *pair, **settings, **STEPS)
    assert not calls


def test_words_are_added_and_dropped_and_each_pair_is_the_same_in_any_batch(tiny_pipe):
    sources = ["a red car", "a cat", "a photo of a cat"]
    targets = ["a car", "a red cat", "a painting of a blue dog on a tree"]
    pairs = edit(tiny_pipe, sources, targets, batch_size=6, **STEPS)
    plain = hl.generate(tiny_pipe, sources, **STEPS)
    np.testing.assert_allclose(pairs[::2].astype(float), plain, atol=1)
    assert all((pairs[1::2] != pairs[::2]).any(axis=(1, 2, 3)))
    one_by_one = edit(tiny_pipe, sources, targets, batch_size=2, **STEPS)
    np.testing.assert_allclose(pairs.astype(float), one_by_one, atol=1)


def test_unknown_concepts_and_other_models_are_refused(tiny_pipe):
    pair = ("a red car", "a blue car")
    with pytest.raises(ConceptError, match="no concept 'Hue'"):
        edit(tiny_pipe, *pair, hrv=vectors(tiny_pipe), concept="Hue", **STEPS)
    with pytest.raises(ModelError, match="made for model"):
        edit(tiny_pipe, *pair, hrv=vectors(tiny_sd(seed=1)), concept="Color", **STEPS)


def test_latents_replace_the_seeded_noise(tiny_pipe):
    noise = torch.cat([initial_noise(tiny_pipe, [0, 4], index) for index in (0, 1)])
    given = edit(tiny_pipe, SOURCES, TARGETS, seed=[8, 9], latents=noise, **STEPS)
    seeded = edit(tiny_pipe, SOURCES, TARGETS, seed=[0, 4], **STEPS)
    np.testing.assert_array_equal(given, seeded)
    with pytest.raises(ParameterError, match="latents has 4 values, there are 1 images"):
        edit(tiny_pipe, "a red car", "a blue car", latents=noise, **STEPS)


def img2img():
    pipe = StableDiffusionImg2ImgPipeline(**tiny_sd().components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_an_edited_picture_runs_the_share_of_its_steps_that_img2img_runs():
    pipe, calls = img2img(), []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    image = Image.fromarray(np.full((16, 16, 3), 99, np.uint8))
    edit(pipe, "a red car", "a blue car", image=image, strength=0.5, num_inference_steps=20)
    plain = len(calls)
    calls.clear()
    pipe("a red car", image=image, strength=0.5, num_inference_steps=20)
    assert len(calls) == plain


@pytest.mark.parametrize(("share", "injected"), [(0.5, True), (0.04, False)])
def test_shares_are_of_the_calls_that_img2img_makes(share, injected):
    pipe = img2img()
    call = {"image": Image.new("RGB", (16, 16)), "num_inference_steps": 10, "strength": 0.5}
    call |= {"cross_share": share, "self_share": 0.0, "progress": False}
    if injected:
        source, edited = edit(pipe, "a red car", "a blue car", **call)
        assert (source != edited).any()
    else:
        with pytest.raises(ParameterError, match="less than one call"):
            edit(pipe, "a red car", "a blue car", **call)


@pytest.mark.parametrize("batch_size", [2, 4, 8])
def test_images_and_negative_prompts_of_each_pair_follow_it_through_all_batches(batch_size):
    pipe = img2img()
    images = [Image.fromarray(np.full((16, 16, 3), 60 * n, np.uint8)) for n in range(2)]
    negatives = ["a tree", "blue dog"]
    call = {"num_inference_steps": 5, "strength": 0.8, "progress": False}
    together = edit(
        pipe, SOURCES, TARGETS, image=images, negative_prompt=negatives, seed=[0, 1],
        batch_size=batch_size, **call,
    )  # fmt: skip
    for number, image in enumerate(images):
        alone = edit(
            pipe, SOURCES, TARGETS, image=image, negative_prompt=negatives[number], seed=[0, 1],
            **call,
        )  # fmt: skip
        own = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(together[own].astype(float), alone[own], atol=1)


def test_generators_of_a_pair_draw_the_same_noise_twice(tiny_pipe):
    tiny_pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(tiny_pipe.scheduler.config)
    generators = [torch.Generator().manual_seed(number) for number in range(2)]
    pairs = edit(tiny_pipe, SOURCES, TARGETS, generator=generators, **STEPS)
    plain = hl.generate(
        tiny_pipe, SOURCES, generator=[torch.Generator().manual_seed(n) for n in range(2)], **STEPS
    )
    np.testing.assert_allclose(pairs[::2].astype(float), plain, atol=1)
    with pytest.raises(ParameterError, match="a list with one generator for each pair"):
        edit(tiny_pipe, SOURCES, TARGETS, generator=generators[0], **STEPS)
