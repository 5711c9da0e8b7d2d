"""All functions of the engine, on a tiny pipeline of every family."""

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from PIL import Image

import hrvlab as hl
from hrvlab.errors import ParameterError, StoreError
from hrvlab.noise import initial_noise
from tests.methods.test_steering import vectors
from tests.pipelines import TINY, tiny_sd, tiny_sdxl, tiny_turbo, tiny_unet
from tests.scores import Brightness

PROMPTS = ["a red car", "a red cat on a tree", "a red vase"]


@pytest.fixture(params=list(TINY))
def tiny(request):
    """Return a pipeline, and the keywords that one of its kind is called with."""
    kind = TINY[request.param]
    return kind.build(), {"num_inference_steps": 3, "progress": False} | kind.call


def test_images_do_not_depend_on_the_batch(tiny):
    pipe, call = tiny
    three = hl.generate(pipe, PROMPTS, **call)
    alone = np.concatenate([hl.generate(pipe, PROMPTS, batch_size=1, **call)])
    assert three.shape == (3, 16, 16, 3)
    assert (np.abs(three.astype(int) - alone) <= 1).all()


@pytest.mark.parametrize("size", [{}, {"height": 16, "width": 32}])
def test_a_capture_has_the_untouched_image_and_all_attention(tiny, size):
    pipe, call = tiny
    tree = hl.capture(pipe, PROMPTS, maps=["a red"], batch_size=2, **call, **size)
    ds = tree.to_dataset()
    plain = hl.generate(pipe, PROMPTS, batch_size=2, **call, **size)
    np.testing.assert_array_equal(ds["image"].values, plain)
    sums = ds["attention"].sum("token", skipna=False)
    present = ds["head"] < ds["heads"] if "head" in ds.coords else sums.notnull()
    np.testing.assert_allclose(sums.where(present, 1), 1, atol=1e-5)
    assert (
        present.any(("prompt", "timestep")).sum("head").values.tolist()
        == ds["heads"].values.tolist()
    )
    for node in tree.children.values():
        for layer in node["map_layer"].values:
            found = node["maps"].sel(map_layer=layer).mean(("map_y", "map_x")).isel(map_word=0)
            expected = ds["attention"].isel(layer=layer, token=[1, 2]).sum("token", skipna=False)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_head_votes_once_per_call_and_prompt(tiny, concepts, tmp_path):
    pipe, call = tiny
    votes = hl.collect_votes(pipe, concepts, PROMPTS, store=tmp_path, batch_size=2, **call)
    cast = votes["votes_by_timestep"].sum("concept")
    assert (cast == len(PROMPTS)).all()
    again = hl.collect_votes(pipe, concepts, PROMPTS, batch_size=2, **call)
    assert votes.drop_attrs().identical(again.drop_attrs())
    default = 5.0 if "XL" in type(pipe).__name__ else 7.5
    assert votes.attrs["guidance_scale"] == call.get("guidance_scale", default)


def test_weakening_has_equal_ends_in_every_order(tiny):
    pipe, call = tiny
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    given = {"texts": ["red"], "score": Brightness(), "cuts": [heads // 2], "draws": 1}
    curves = hl.weaken(pipe, vectors(pipe), "Color", PROMPTS[:1], **given, **call).data
    ends = curves["score"].isel(weakened=[0, -1]).squeeze()
    np.testing.assert_allclose(ends, ends.isel(order=0).broadcast_like(ends), atol=1e-3)
    assert curves["weakened"].values.tolist() == [0, heads // 2, heads]


def test_steering_with_a_clamp_changes_the_image(tiny):
    pipe, call = tiny
    hrv = vectors(pipe)
    plain = hl.generate(pipe, "a red car", **call)
    for edit in (
        hl.strengthen(hrv, "Color", word="red"),
        hl.adjust(hrv, toward="Color", away="Plants", word="red", clamp=2.0),
    ):
        assert (hl.generate(pipe, "a red car", edit=edit, **call) != plain).any()


@pytest.mark.parametrize("with_vectors", [True, False])
def test_editing_returns_the_untouched_source_and_the_edited_image(tiny, with_vectors):
    pipe, call = tiny
    given = {"hrv": vectors(pipe), "concept": "Color"} if with_vectors else {}
    source, edited = hl.edit(pipe, "a red car", "a blue car", **given, **call)
    (plain,) = hl.generate(pipe, "a red car", **call)
    np.testing.assert_allclose(source.astype(int), plain, atol=1)
    assert (edited != source).any()


@pytest.mark.parametrize("steps", [1, 2])
def test_turbo_needs_no_guidance_and_few_steps(concepts, steps):
    pipe, call = tiny_turbo(), {"num_inference_steps": steps, "guidance_scale": 0.0}
    call["progress"] = False
    ds = hl.capture(pipe, PROMPTS, **call)
    assert ds.sizes["timestep"] == steps
    assert ds["scheduler_timestep"].values[0] == 999
    votes = hl.collect_votes(pipe, concepts, PROMPTS, **call)
    assert votes["votes_by_timestep"].sum() == 3 * steps * votes.sizes["head_position"]


def test_an_edit_with_too_few_steps_for_injection_is_refused():
    call = {"num_inference_steps": 1, "guidance_scale": 0.0}
    with pytest.raises(ParameterError, match="give more steps or larger shares"):
        hl.edit(tiny_turbo(), "a red car", "a blue car", **call)


def test_another_prompt_for_the_second_encoder_is_refused():
    with pytest.raises(ParameterError, match="leave out prompt_2"):
        hl.generate(tiny_sdxl(), "a red car", prompt_2="a dog")


IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
MASK = Image.fromarray(np.pad(np.full((8, 16), 255, np.uint8), ((8, 0), (0, 0))))


@pytest.mark.parametrize(
    ("build", "cls", "given"),
    [
        (tiny_sd, StableDiffusionImg2ImgPipeline, {}),
        (tiny_sd, StableDiffusionInpaintPipeline, {"mask_image": MASK}),
        (tiny_sdxl, StableDiffusionXLImg2ImgPipeline, {}),
        (tiny_sdxl, StableDiffusionXLInpaintPipeline, {"mask_image": MASK}),
    ],
)
def test_generation_can_begin_with_an_image(build, cls, given, concepts, tmp_path):
    pipe = cls.from_pipe(build())
    call = {"image": IMAGE, "strength": 0.7, "num_inference_steps": 4, "progress": False, **given}
    if given:
        call |= {"height": 16, "width": 16}
    ds = hl.capture(pipe, PROMPTS, **call)
    np.testing.assert_array_equal(ds["image"].values, hl.generate(pipe, PROMPTS, **call))
    votes = hl.collect_votes(pipe, concepts, PROMPTS, store=tmp_path, **call)
    other = call | {"image": Image.fromarray(255 - np.asarray(IMAGE))}
    hl.collect_votes(pipe, concepts, PROMPTS, store=tmp_path, **other)
    assert len(list(tmp_path.iterdir())) == 2
    assert votes["votes_by_timestep"].sum("concept").max() == len(PROMPTS)
    source, edited = hl.edit(pipe, "a red car", "a blue car", **call)
    assert (source != edited).any()


def test_an_inpainting_unet_has_more_input_channels_than_output_channels():
    pipe = tiny_sd()
    pipe.register_modules(unet=tiny_unet(in_channels=9, attention_head_dim=2))
    inpaint = StableDiffusionInpaintPipeline.from_pipe(pipe)
    call = {"image": IMAGE, "mask_image": MASK, "height": 16, "width": 16}
    call |= {"num_inference_steps": 3, "progress": False}
    ds = hl.capture(inpaint, PROMPTS, **call)
    np.testing.assert_array_equal(ds["image"].values, hl.generate(inpaint, PROMPTS, **call))
    assert initial_noise(inpaint, [0], 0).shape == (1, 4, 8, 8)


@pytest.mark.parametrize("encoder", ["text_encoder", "text_encoder_2"])
def test_the_fingerprint_depends_on_each_of_sdxls_encoders(encoder):
    pipe = tiny_sdxl()
    before = hl.models.load.fingerprint(pipe)
    with torch.no_grad():
        next(getattr(pipe, encoder).parameters()).add_(1)
    assert hl.models.load.fingerprint(pipe) != before


def test_a_value_that_a_plan_cannot_hold_is_refused(tiny_pipe, concepts, tmp_path):
    with pytest.raises((ParameterError, StoreError), match="a plan cannot hold a function"):
        hl.collect_votes(
            tiny_pipe, concepts, PROMPTS, store=tmp_path, callback_on_step_end=lambda *_: {}
        )
