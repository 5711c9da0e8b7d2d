import numpy as np
import pytest
import xarray as xr
from diffusers import DDIMScheduler

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError
from hrvlab.experiments.arms import Prompt, draw_arms, extremes, unfold
from hrvlab.experiments.pictures import read_images
from tests.experiments.test_sweep import Redness
from tests.experiments.test_weakening import Brightness
from tests.pipelines import tiny_sd

WEAKENED = hl.Rescale(np.full(8, -2.0), "red")
BOTH = hl.Rescale(np.stack([np.ones(8), np.full(8, -2.0)]), "red")
ARMS = [Prompt("a red car", 0), Prompt("a red car", 0, BOTH), Prompt("a dog", 1)]
TEXTS = ["a", "bbb", "ccccc", "ddddddd"]
SCORED = {"score": Brightness(), "texts": {"shown": TEXTS}}
CALL = {"num_inference_steps": 2, "progress": False, "seeds": [0, 3]}


def test_every_row_is_what_generate_draws(tiny_pipe, tmp_path):
    drawn = draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    call = {"num_inference_steps": 2, "progress": False, "seed": [0, 3]}
    expected = [
        hl.generate(tiny_pipe, "a red car", **call),
        hl.generate(tiny_pipe, "a red car", **call),
        hl.generate(tiny_pipe, "a red car", edit=WEAKENED, **call),
        hl.generate(tiny_pipe, ["a cat", "a dog"], **call)[2:],
    ]
    assert drawn["image"].shape == (4, 2)
    np.testing.assert_allclose(
        read_images(drawn, drawn["image"]).astype(float), np.concatenate(expected), atol=1
    )


def test_batches_cut_through_rows(tiny_pipe, tmp_path):
    whole, cut = (
        draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, batch_size=size, **CALL)
        for size in (16, 3)
    )
    pictures = [read_images(drawn, drawn["image"]).astype(float) for drawn in (whole, cut)]
    np.testing.assert_allclose(*pictures, atol=1)


def test_a_second_run_draws_nothing_and_one_cut_short_draws_the_rest(tiny_pipe, tmp_path):
    drawn = draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    before = read_images(drawn, drawn["image"])
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    assert not calls
    next(tmp_path.glob("*/ledger/000001.npz")).unlink()
    again = draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    assert 0 < len(calls) <= 3
    np.testing.assert_array_equal(read_images(again, again["image"]), before)


def test_another_edit_is_another_plan(tiny_pipe, tmp_path):
    edits = [BOTH.for_prompts([1, 0]), BOTH]
    for edit in edits:
        draw_arms(
            tiny_pipe,
            [*ARMS[:1], Prompt("a red car", 0, edit), ARMS[2]],
            store=tmp_path,
            **SCORED,
            **CALL,
        )
    assert len(list(tmp_path.iterdir())) == 2


def test_arms_are_rated_each_against_its_text(tiny_pipe, tmp_path):
    drawn = draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    for number, text in enumerate(TEXTS):
        pictures = read_images(drawn, drawn["image"][number])
        np.testing.assert_array_equal(drawn["shown"][number], Brightness()(pictures, [text] * 2))
    with pytest.raises(ParameterError, match="4 rows need as many texts of shown, got 1"):
        draw_arms(
            tiny_pipe, ARMS, store=tmp_path, score=Brightness(), texts={"shown": ["a"]}, **CALL
        )


def test_several_witnesses_rate_the_same_pictures(tiny_pipe, tmp_path):
    alone = draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    both = draw_arms(
        tiny_pipe,
        ARMS,
        store=tmp_path,
        score={"one": Brightness(), "two": Redness()},
        texts={"shown": TEXTS},
        **CALL,
    )
    np.testing.assert_array_equal(both["shown"].sel(witness="one"), alone["shown"])
    pictures = read_images(both, both["image"])
    np.testing.assert_array_equal(
        both["shown"].sel(witness="two").values.ravel(), Redness()(pictures, np.repeat(TEXTS, 2))
    )


def test_rows_unfold_into_dims_of_their_own(tiny_pipe, tmp_path):
    drawn = draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    grid = unfold(drawn, {"case": 2, "way": 2})
    for row in range(4):
        case, way = divmod(row, 2)
        np.testing.assert_array_equal(grid["image"].isel(case=case, way=way), drawn["image"][row])


@pytest.mark.parametrize(
    ("arms", "error", "message"),
    [
        ([], ParameterError, "list of arms is empty"),
        ([Prompt(" ", 0)], ParameterError, "give a text with words"),
        ([*ARMS, Prompt("a cat", 0, BOTH)], TokenError, "'red' is not a word"),
    ],
)
def test_bad_arms_are_refused_before_any_is_drawn(tiny_pipe, tmp_path, arms, error, message):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=message):
        draw_arms(tiny_pipe, arms, store=tmp_path, **SCORED, **CALL)
    assert not calls


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": []}, "list of seeds is empty"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_images_per_prompt": 2}, "leave out num_images_per_prompt"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tiny_pipe, tmp_path, given, message):
    with pytest.raises(ParameterError, match=message):
        draw_arms(tiny_pipe, ARMS, store=tmp_path, **SCORED, **{**CALL, **given})
    assert not list(tmp_path.iterdir())


def test_another_scheduler_or_another_decoder_is_another_plan(tmp_path):
    pipe = tiny_sd()
    draw_arms(pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    draw_arms(pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    pipe.vae.post_quant_conv.weight.data += 1
    draw_arms(pipe, ARMS, store=tmp_path, **SCORED, **CALL)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_extremes_are_the_largest_and_the_smallest_means():
    gained = xr.DataArray([[0.0, 0.2], [0.9, -0.9], [0.5, 0.6]], dims=("prompt", "seed"))
    assert extremes(gained) == (2, 1)
