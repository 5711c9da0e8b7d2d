import inspect

import diffusers
import numpy as np
import pytest
import torch
from diffusers import MultiAdapter

import hrvlab as hl
from hrvlab.attention import TokenMeans, attach
from hrvlab.errors import ParameterError
from hrvlab.keywords import check_call
from tests.test_every_keyword import picture, required
from tests.variants import adapter, control_net, variant

PROMPTS = ["a red car", "a cat on red"]
FIRST, SECOND = [picture(0), picture(1)], [picture(2), picture(3)]
CONTROLNET = "StableDiffusionControlNetPipeline"
ADAPTER = "StableDiffusionAdapterPipeline"
CALL = {"num_inference_steps": 2, "progress": False}


def several(name):
    """Build a pipeline with two ControlNets."""
    base = variant(name)
    nets = [base.controlnet, control_net(base.unet, seed=2)]
    parts = base.components | {"controlnet": nets}
    more = {} if "XL" in name else {"requires_safety_checker": False}
    pipe = getattr(diffusers, name)(**parts, **more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def several_adapters(name=ADAPTER):
    """Build a pipeline with two T2I-Adapters."""
    base = variant(name)
    more = {} if "XL" in name else {"requires_safety_checker": False}
    both = MultiAdapter([base.adapter, adapter(base.unet, seed=2)])
    pipe = getattr(diffusers, name)(**base.components | {"adapter": both}, **more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def check_each(pipe, given, alone, **more):
    """Compare images of prompts in several batches with those of every prompt's images for all."""
    made = hl.generate(pipe, PROMPTS, batch_size=1, **given, **more, **CALL)
    together = hl.generate(pipe, PROMPTS, **given, **more, **CALL)
    each = len(made) // len(PROMPTS)
    for number, own in enumerate(alone):
        expected = hl.generate(pipe, PROMPTS, **own, **more, **CALL)
        rows = slice(number * each, (number + 1) * each)
        for images in (made, together):
            assert np.abs(images[rows].astype(int) - expected[rows]).max() <= 1
    assert np.abs(made[:each].astype(int) - expected[:each]).max() > 1


def test_images_of_several_controlnets_are_listed_by_prompt():
    pipe = several(CONTROLNET)
    given = {"image": [list(pair) for pair in zip(FIRST, SECOND, strict=True)]}
    alone = [{"image": list(pair)} for pair in zip(FIRST, SECOND, strict=True)]
    check_each(pipe, given, alone)


@pytest.mark.full
def test_images_of_several_controlnets_of_sdxl_are_tensors_by_controlnet():
    pipe = several("StableDiffusionXLControlNetPipeline")
    first, second = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    own = check_call(pipe, {"image": [first, second]}, prompts=2, images=2)["image"]
    taken = own.take([1, 0, 1])
    for images, given in zip(taken, (first, second), strict=True):
        assert torch.equal(images, given[[1, 0, 1]])
    made = hl.generate(pipe, PROMPTS, image=[first, second], **CALL)
    assert made.shape == (2, 16, 16, 3)
    with pytest.raises(ParameterError, match="in one tensor of shape"):
        hl.generate(pipe, PROMPTS, image=[FIRST, SECOND], **CALL)


def test_every_controlnet_must_have_its_image():
    pipe = several(CONTROLNET)
    for image, message in (
        (FIRST[0], "give one with an image for each ControlNet"),
        ([*FIRST, SECOND[0]], "image has 3 values, there are 2 ControlNets"),
        ([FIRST, SECOND, FIRST], "image has 3 values, there are 2 prompts"),
        ([FIRST, SECOND[:1]], "image has 1 values, there are 2 ControlNets"),
    ):
        with pytest.raises(ParameterError, match=message):
            check_call(pipe, {"image": image}, prompts=2, images=2)


@pytest.mark.parametrize("tensors", [False, True])
def test_images_of_an_adapter_follow_their_prompts(tensors):
    pipe, images = variant(ADAPTER), FIRST
    if tensors:
        images = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    check_each(pipe, {"image": images}, [{"image": one} for one in images])
    with pytest.raises(ParameterError, match="leave out num_images_per_prompt"):
        hl.generate(pipe, PROMPTS, image=images, num_images_per_prompt=2, **CALL)


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInstructPix2PixPipeline",
        CONTROLNET,
        pytest.param("StableDiffusionXLInpaintPipeline", marks=pytest.mark.full),
        pytest.param("StableDiffusionDepth2ImgPipeline", marks=pytest.mark.full),
    ],
)
def test_all_images_of_a_prompt_begin_from_its_own_image(name):
    pipe, more = variant(name), required(name)
    for own in ("image", *CALL):
        more.pop(own, None)
    # An autoencoder draws noise for every image that it encodes.
    alone = [{"image": [one, one]} for one in FIRST]
    check_each(pipe, {"image": FIRST}, alone, num_images_per_prompt=2, **more)


def test_images_of_several_adapters_are_listed_by_adapter():
    pipe = several_adapters()
    scales = {"adapter_conditioning_scale": [0.3, 0.9]}
    alone = [{"image": list(pair)} for pair in zip(FIRST, SECOND, strict=True)]
    check_each(pipe, {"image": [FIRST, SECOND]}, alone, **scales)
    for image, message in (
        (FIRST[0], "give one with an image for each adapter"),
        ([*FIRST, SECOND[0]], "image has 3 values, there are 2 adapters"),
        ([FIRST, SECOND[:1] * 3], "image has 3 values, there are 2 prompts"),
    ):
        with pytest.raises(ParameterError, match=message):
            check_call(pipe, {"image": image, **scales}, prompts=2, images=2)
    for given in ({}, {"adapter_conditioning_scale": 1.0}, {"adapter_conditioning_scale": [1.0]}):
        with pytest.raises(ParameterError, match="a number for each of the 2 adapters"):
            check_call(pipe, {"image": [FIRST, SECOND], **given}, prompts=2, images=2)


@pytest.mark.parametrize(
    "name", [ADAPTER, pytest.param("StableDiffusionXLAdapterPipeline", marks=pytest.mark.full)]
)
def test_a_pipeline_of_several_adapters_is_read_and_edited_without_a_trace(name):
    pipe = several_adapters(name)
    call = {"image": [FIRST, SECOND], "adapter_conditioning_scale": [0.3, 0.9]}

    def latents():
        generators = [torch.Generator().manual_seed(number) for number in range(2)]
        own = {"num_inference_steps": 2, "generator": generators, "output_type": "latent"}
        return pipe(PROMPTS, **own, **call).images

    plain = latents()
    means = TokenMeans()
    with attach(pipe, means, prompts=PROMPTS) as session:
        assert torch.equal(latents(), plain)
    assert session.call.conditional == slice(2, 4)
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    with attach(pipe, hl.Rescale(np.full(heads, -2.0), "red"), prompts=PROMPTS):
        assert not torch.equal(latents(), plain)
    assert torch.equal(latents(), plain)


def test_an_array_is_refused_where_diffusers_takes_none():
    pipe = variant(ADAPTER)
    with pytest.raises(ParameterError, match="adapters take images of PIL, or tensors"):
        check_call(pipe, {"image": np.zeros((16, 16, 3))}, prompts=1, images=1)


@pytest.mark.full
@pytest.mark.parametrize(
    ("build", "name"),
    [
        (several, CONTROLNET),
        (variant, CONTROLNET),
        (variant, "StableDiffusionXLAdapterPipeline"),
        (several_adapters, ADAPTER),
    ],
)
def test_a_saved_pipeline_with_controlnets_or_an_adapter_is_loaded_with_them(tmp_path, build, name):
    pipe = build(name)
    pipe.save_pretrained(tmp_path)
    loaded = hl.load(tmp_path, device="cpu")
    call = {"image": FIRST[0] if build is variant else [FIRST[0]] * 2, **CALL}
    if build is several_adapters:
        call["adapter_conditioning_scale"] = [0.5, 0.5]
    made = [hl.generate(one, "a red car", **call) for one in (pipe, loaded)]
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionInpaintPipeline",
        "StableDiffusionPAGInpaintPipeline",
        "StableDiffusionControlNetInpaintPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
        pytest.param("StableDiffusionXLControlNetUnionInpaintPipeline", marks=pytest.mark.full),
    ],
)
def test_latents_as_the_image_are_refused_where_they_meet_a_mask_of_pixels(name):
    pipe = variant(name)
    given = {**required(name), "image": torch.zeros(1, 4, 8, 8)}
    with pytest.raises(ParameterError, match=f"{name} multiplies image .* give the image itself"):
        check_call(pipe, given, prompts=1, images=1)
    if "masked_image_latents" in inspect.signature(pipe.__call__).parameters:
        more = {"masked_image_latents": torch.zeros(1, 4, 8, 8)}
        assert "image" in check_call(pipe, given | more, prompts=1, images=1)


def test_latents_as_the_image_are_taken_where_diffusers_takes_them():
    name = "StableDiffusionXLInpaintPipeline"
    pipe = variant(name)
    given = {**required(name), "image": torch.zeros(1, 4, 8, 8)}
    assert "image" in check_call(pipe, given, prompts=1, images=1)
