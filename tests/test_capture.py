import numpy as np
import pytest
import torch
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError
from hrvlab.noise import initial_noise
from hrvlab.storage.datasets import read_dataset, write_dataset
from tests.pipelines import tiny_sd

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
