import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from diffusers import (
    DDIMInverseScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError
from hrvlab.generation import WithheldWarning
from hrvlab.noise import initial_noise
from hrvlab.storage.datasets import read_dataset, write_dataset
from tests.pipelines import tiny_sd, tiny_unet, withholding

PROMPTS = ["a red car", "a red cat on a tree", "a red vase"]
STEPS = {"num_inference_steps": 3, "progress": False}


def test_the_dataset_has_the_documented_dims_and_coordinates(tiny_pipe):
    ds = hl.capture(tiny_pipe, PROMPTS, **STEPS)
    assert dict(ds.sizes) == {
        "prompt": 3, "timestep": 4, "layer": 4, "head": 2, "token": 20, "y": 16, "x": 16,
        "channel": 3,
    }  # fmt: skip
    assert ds["attention"].dtype == np.float32
    assert ds["block"].values.tolist() == ["down", "mid", "up", "up"]
    assert ds["token_kind"].values[0, :6].tolist() == [
        "start", "content", "content", "content", "end", "padding",
    ]  # fmt: skip
    assert ds["word"].values[1, 3] == "cat"
    assert ds["scheduler_timestep"].values.tolist() == [667, 334, 334, 1]
    assert ds.attrs["schema"] == "capture"
    assert {"model_fingerprint", "scheduler", "seed", "libraries", "created"} <= set(ds.attrs)


def test_attention_over_all_tokens_sums_to_one(tiny_pipe):
    ds = hl.capture(tiny_pipe, PROMPTS, **STEPS)
    np.testing.assert_allclose(ds["attention"].sum("token"), 1, atol=1e-5)


def test_the_image_is_the_untouched_pipelines(tiny_pipe):
    ds = hl.capture(tiny_pipe, PROMPTS, **STEPS)
    assert (ds["image"].values == hl.generate(tiny_pipe, PROMPTS, **STEPS)).all()


def test_the_batch_size_does_not_matter(tiny_pipe):
    one = hl.capture(tiny_pipe, PROMPTS, batch_size=1, **STEPS)
    two = hl.capture(tiny_pipe, PROMPTS, batch_size=2, **STEPS)
    xr.testing.assert_allclose(one["attention"], two["attention"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("size", [{}, {"height": 16, "width": 32}])
def test_maps_average_to_the_token_means(tiny_pipe, size):
    tree = hl.capture(tiny_pipe, PROMPTS, maps=["red", "a red"], batch_size=2, **STEPS, **size)
    ds = tree.to_dataset()
    assert sorted(tree.children) == ["grid_4", "grid_8"]
    for node in tree.children.values():
        maps = node["maps"]
        for layer in node["map_layer"].values:
            means = ds["attention"].isel(layer=layer)
            found = maps.sel(map_layer=layer).mean(("map_y", "map_x"))
            for word, columns in enumerate(([2], [1, 2])):
                np.testing.assert_allclose(
                    found.isel(map_word=word), means.isel(token=columns).sum("token"), atol=1e-5
                )


def test_layers_with_fewer_heads_are_padded_with_nan():
    ds = hl.capture(tiny_sd(heads=(2, 4)), PROMPTS, **STEPS)
    heads = ds["heads"].values
    present = np.isfinite(ds["attention"]).all(("prompt", "timestep", "token"))
    assert present.sum("head").values.tolist() == heads.tolist()


def test_a_capture_survives_the_disk(tiny_pipe, tmp_path):
    ds = hl.capture(tiny_pipe, PROMPTS, **STEPS)
    write_dataset(ds, tmp_path / "capture.zarr")
    xr.testing.assert_identical(read_dataset(tmp_path / "capture.zarr"), ds)


def test_only_the_maps_of_the_given_grids_are_kept(tiny_pipe):
    every = hl.capture(tiny_pipe, PROMPTS, maps=["red"], **STEPS)
    some = hl.capture(tiny_pipe, PROMPTS, maps=["red"], grids=[4], **STEPS)
    assert list(some.children) == ["grid_4"]
    xr.testing.assert_identical(some["grid_4"].to_dataset(), every["grid_4"].to_dataset())


@pytest.mark.parametrize("grids", [[16], [4, 16], []])
def test_a_grid_that_no_layer_has_is_refused(tiny_pipe, grids):
    with pytest.raises(ParameterError, match=r"no layer has a grid of .*give some of \[4, 8\]"):
        hl.capture(tiny_pipe, PROMPTS, maps=["red"], grids=grids, **STEPS)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"height": 16, "width": 32},
        {"maps": ["red"]},
        {"maps": ["red", "a red"], "height": 24, "width": 16},
        {"maps": ["red"], "grids": [4]},
    ],
    ids=str,
)
def test_the_forecast_is_within_a_tenth_and_the_budget_is_respected(settings):
    pipe = tiny_sd(heads=(2, 4))
    calls = []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    captured = hl.capture(pipe, PROMPTS, **settings, **STEPS)
    taken = captured.nbytes
    calls.clear()
    with pytest.raises(ParameterError, match="the capture would take 0.00 GB, the budget is"):
        hl.capture(pipe, PROMPTS, budget_bytes=int(taken * 0.9), **settings, **STEPS)
    assert not calls
    hl.capture(pipe, PROMPTS, budget_bytes=int(taken * 1.1), **settings, **STEPS)


def test_a_word_that_one_prompt_lacks_is_refused(tiny_pipe):
    with pytest.raises(TokenError, match="'car' is not a word of the prompt 'a red cat"):
        hl.capture(tiny_pipe, PROMPTS, maps=["car"], **STEPS)


def test_no_prompts_are_refused(tiny_pipe):
    with pytest.raises(ParameterError, match="empty"):
        hl.capture(tiny_pipe, [], **STEPS)


def test_given_latents_replace_the_seeded_noise(tiny_pipe):
    call = {"num_inference_steps": 2, "progress": False}
    noise = torch.cat([initial_noise(tiny_pipe, [5], index) for index in (0, 1)])
    prompts = ["a red car", "a dog"]
    given = hl.capture(tiny_pipe, prompts, latents=noise, batch_size=1, **call)
    seeded = hl.capture(tiny_pipe, prompts, seed=5, batch_size=1, **call)
    np.testing.assert_array_equal(given["image"], seeded["image"])
    np.testing.assert_array_equal(given["attention"], seeded["attention"])
    with pytest.raises(ParameterError, match="latents has 2 values, there are 1 images"):
        hl.capture(tiny_pipe, "a dog", latents=noise, **call)


def test_the_provenance_shows_texts_as_they_are(tiny_pipe):
    captured = hl.capture(tiny_pipe, "a red café", num_inference_steps=1)
    assert "a red café" in captured.attrs["parameters"]


@pytest.mark.parametrize("column", [str, list, tuple, np.array, pd.Series])
def test_words_and_grids_may_be_any_kind_of_column(tiny_pipe, column):
    expected = hl.capture(tiny_pipe, PROMPTS, maps=["red"], grids=[4], **STEPS)
    words, grids = ("red", 4) if column is str else (column(["red"]), column([4]))
    tree = hl.capture(tiny_pipe, PROMPTS, maps=words, grids=grids, **STEPS)
    xr.testing.assert_identical(tree["grid_4"].to_dataset(), expected["grid_4"].to_dataset())


def test_every_seed_of_a_prompt_is_captured_as_alone(tiny_pipe):
    both = hl.capture(tiny_pipe, PROMPTS, seed=[3, 5], **STEPS)
    assert both["seed"].values.tolist() == [3, 5] * 3
    assert both["prompt_text"].values.tolist() == [text for text in PROMPTS for _ in range(2)]
    assert both.attrs["seed"] == [3, 5]
    alone = hl.capture(tiny_pipe, PROMPTS, seed=5, **STEPS)
    np.testing.assert_allclose(both["attention"][1::2], alone["attention"], atol=1e-4)
    assert alone.attrs["seed"] == 5


def test_mixed_precision_around_the_call_leaves_maps_in_float32(tiny_pipe, concepts):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tree = hl.capture(tiny_pipe, "a red car", maps=["red"], **STEPS)
        votes = hl.collect_votes(tiny_pipe, concepts, ["a red car"], **STEPS)
    attention = tree.to_dataset()["attention"]
    assert attention.dtype == np.float32
    np.testing.assert_allclose(attention.sum("token"), 1, atol=1e-5)
    assert (votes["votes_by_timestep"].sum("concept") == 1).all()


def test_rising_timesteps_of_an_inversion_are_captured(tiny_pipe):
    tiny_pipe.scheduler = DDIMInverseScheduler.from_config(tiny_pipe.scheduler.config)
    noise = torch.randn(1, 4, 8, 8)
    ds = hl.capture(tiny_pipe, "a red car", latents=noise, guidance_scale=1.0, **STEPS)
    assert ds.sizes["timestep"] == 3
    assert (np.diff(ds["scheduler_timestep"]) > 0).all()


def test_models_for_images_that_are_not_square_have_maps_of_their_shape():
    parts = tiny_sd().components | {"unet": tiny_unet(attention_head_dim=2, sample_size=(8, 16))}
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    tree = hl.capture(pipe, "a red car", maps="red", **STEPS)
    assert tree.to_dataset()["image"].shape == (1, 16, 32, 3)
    sizes = {(node.sizes["map_y"], node.sizes["map_x"]) for node in tree.children.values()}
    assert sizes == {(8, 16), (4, 8)}


@pytest.mark.parametrize("kind", ["image", "latents", "timesteps"])
def test_the_budget_knows_the_size_of_images_and_latents_and_the_number_of_timesteps(kind):
    pipe, calls = tiny_sd(), []
    call = {"num_inference_steps": 4}
    if kind == "image":
        pipe = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
        image = Image.fromarray(np.zeros((96, 64, 3), np.uint8))
        call |= {"image": image, "strength": 0.5}
    elif kind == "latents":
        call["latents"] = torch.randn(1, 4, 32, 32)
    else:
        pipe.scheduler = EulerDiscreteScheduler()
        call["timesteps"] = list(range(900, 0, -60))
    taken = sum(
        node.to_dataset(inherit=False).nbytes
        for node in hl.capture(pipe, "a red car", maps="red", progress=False, **call).subtree
    )
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(ParameterError, match="the capture would take"):
        hl.capture(pipe, "a red car", maps="red", budget_bytes=int(taken * 0.9), **call)
    assert not calls


def test_states_of_two_chunks_have_numbered_columns_and_words_are_refused(tiny_pipe):
    states, negative = tiny_pipe.encode_prompt(["a red car"], "cpu", 1, True)
    given = {"prompt_embeds": torch.cat([states] * 2, 1)}
    given["negative_prompt_embeds"] = torch.cat([negative] * 2, 1)
    ds = hl.capture(tiny_pipe, "a red car", **given, **STEPS)
    assert ds["token_text"].values[0].tolist() == [str(column) for column in range(40)]
    np.testing.assert_allclose(ds["attention"].sum("token"), 1, atol=1e-5)
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(TokenError, match="columns without names"):
        hl.capture(tiny_pipe, "a red car", maps="red", **given, **STEPS)
    with pytest.raises(TokenError, match="columns without names"):
        hl.generate(tiny_pipe, "a red car", edit=hl.Rescale(np.ones(8), "red"), **given, **STEPS)
    assert not calls


def test_images_that_the_safety_checker_returned_black_are_marked():
    pipe = withholding(tiny_sd())
    with pytest.warns(WithheldWarning, match=r"3 of 3 images black, of 'a red car' \(seed 0\)"):
        ds = hl.capture(pipe, PROMPTS, **STEPS)
    assert ds["withheld"].values.tolist() == [True] * 3
    assert not ds["image"].values.any()
    np.testing.assert_allclose(ds["attention"].sum("token"), 1, atol=1e-5)
    assert "withheld" not in hl.capture(tiny_sd(), PROMPTS, **STEPS)
