import signal

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, StoreError, TokenError
from hrvlab.experiments.pictures import read_images
from hrvlab.experiments.weakening import make_orders, weakened_settings
from tests.faults import run_and_die
from tests.pipelines import tiny_sd

PROMPTS = ["a red car", "a photo of a blue cat"]
TEXTS = ["red", "blue"]
CALL = {"num_inference_steps": 2, "progress": False, "batch_size": 4, "cuts": [3], "draws": 2}


class Brightness:
    """A score that needs no model: how bright the picture is, and how long the text."""

    name = "brightness"
    least = 0.0

    def check(self, texts):
        """It takes any text."""

    def __call__(self, images, texts):
        lengths = np.array([len(text) for text in texts])
        return (images.mean((1, 2, 3)) + lengths).astype(np.float32)


def vectors(pipe):
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    rows = np.random.default_rng(0).gamma(0.7, size=(2, heads))
    return hl.relevance_from_array(rows, concepts=["Color", "Animals"], pipe=pipe)


def sweep(pipe, **changes):
    given = {"texts": TEXTS, "score": Brightness(), **CALL} | changes
    return hl.weaken(pipe, vectors(pipe), "Color", PROMPTS, **given)


def test_orders_are_most_relevant_first_its_reverse_and_random(tiny_pipe):
    row = vectors(tiny_pipe).sel(concept="Color")
    orders = make_orders(row, ["MoRHF", "LeRHF", "random"], draws=3, seed=0)
    assert list(orders) == ["MoRHF", "LeRHF", "random 0", "random 1", "random 2"]
    assert (np.diff(row.values[orders["MoRHF"]]) <= 0).all()
    np.testing.assert_array_equal(orders["LeRHF"], orders["MoRHF"][::-1])
    for order in orders.values():
        assert sorted(order) == list(range(row.size))
    assert (orders["random 0"] != orders["random 1"]).any()


def test_a_random_order_depends_on_its_own_number_alone(tiny_pipe):
    row = vectors(tiny_pipe).sel(concept="Color")
    few, many = (make_orders(row, ["random"], draws=draws, seed=3) for draws in (1, 4))
    np.testing.assert_array_equal(few["random 0"], many["random 0"])


def test_equal_heads_go_by_position(tiny_pipe):
    row = xr.zeros_like(vectors(tiny_pipe).sel(concept="Color"))
    orders = make_orders(row, ["MoRHF"], draws=0, seed=0)
    np.testing.assert_array_equal(orders["MoRHF"], np.arange(row.size))


def test_no_two_settings_are_the_same_and_all_orders_share_the_first_and_last():
    orders = [np.array([2, 0, 1]), np.array([1, 0, 2]), np.array([2, 1, 0])]
    settings, index = weakened_settings(orders, [0, 1, 2, 3], -2.0)
    assert len(np.unique(settings, axis=0)) == len(settings)
    assert len(set(index[:, 0])) == len(set(index[:, -1])) == 1
    assert index[0, 1] == index[2, 1]  # both begin with the same head
    np.testing.assert_array_equal(settings[index[1, 2]], [-2, -2, 1])


def test_every_picture_is_what_weakening_those_heads_alone_draws(tiny_pipe):
    curves = sweep(tiny_pipe, seeds=[0, 5])
    row = vectors(tiny_pipe).sel(concept="Color")
    orders = make_orders(row, ["MoRHF", "LeRHF", "random"], draws=2, seed=0)
    for name, order in orders.items():
        for cut in curves["weakened"].values:
            factors = np.ones(row.size)
            factors[order[:cut]] = -2.0
            images = hl.generate(
                tiny_pipe,
                PROMPTS,
                seed=[0, 5],
                edit=hl.Rescale(factors),
                num_inference_steps=2,
                progress=False,
            )
            texts = [text for text in TEXTS for _ in range(2)]
            expected = Brightness()(images, texts).reshape(2, 2)
            np.testing.assert_allclose(
                curves["score"].sel(order=name, weakened=cut), expected, atol=0.2
            )


def test_only_the_word_that_is_scored_may_be_weakened(tiny_pipe):
    curves = sweep(tiny_pipe, tokens="scored", orders=["MoRHF"])
    for prompt, text in enumerate(TEXTS):
        edit = hl.Rescale(np.full(curves["weakened"].values[-1], -2.0), text)
        # Noise depends on a prompt's number: the prompt is drawn at its own.
        images = hl.generate(
            tiny_pipe,
            [PROMPTS[prompt]] * 2,
            edit=edit,
            num_inference_steps=2,
            progress=False,
        )
        expected = Brightness()(images[prompt : prompt + 1], [text])
        last = curves["score"].isel(order=0, weakened=-1, prompt=prompt, seed=0)
        np.testing.assert_allclose(last, expected[0], atol=0.2)


def test_all_orders_meet_at_no_head_and_at_all_heads(tiny_pipe):
    curves = sweep(tiny_pipe)
    for cut in (0, -1):
        ends = curves["score"].isel(weakened=cut)
        assert (ends == ends.isel(order=0)).all()
    assert curves["share"].values[[0, -1]].tolist() == [0, 1]
    assert curves["kind"].values.tolist() == ["MoRHF", "LeRHF", "random", "random"]


def test_with_a_store_the_numbers_are_the_same_and_the_pictures_are_kept(tiny_pipe, tmp_path):
    stored = sweep(tiny_pipe, store=tmp_path)
    plain = sweep(tiny_pipe)
    np.testing.assert_array_equal(stored["score"], plain["score"])
    some = stored.sel(order="LeRHF", seed=0).isel(prompt=1)
    pictures = read_images(stored, some["image"])
    expected = Brightness()(pictures, TEXTS[1:] * len(pictures))
    np.testing.assert_array_equal(some["score"], expected)
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    xr.testing.assert_identical(sweep(tiny_pipe, store=tmp_path), stored)
    assert not calls


def test_without_a_store_there_are_no_pictures_to_read(tiny_pipe):
    curves = sweep(tiny_pipe)
    with pytest.raises(StoreError, match="keeps no pictures; run the sweep with a store"):
        read_images(curves, curves["score"])


def sweep_all(store):
    sweep(tiny_sd(), store=store, cuts=None, seeds=[0, 1, 2])


def test_killed_at_ten_random_points_it_resumes_to_identical_scores(tiny_pipe, tmp_path):
    for point in np.random.default_rng(0).integers(40, 100, size=10):
        assert run_and_die(sweep_all, tmp_path, point) == -signal.SIGKILL
    (units,) = tmp_path.glob("*/ledger")
    assert len(list(units.glob("*.npz"))) > 3
    resumed = sweep(tiny_pipe, store=tmp_path, cuts=None, seeds=[0, 1, 2])
    whole = sweep(tiny_pipe, cuts=None, seeds=[0, 1, 2])
    np.testing.assert_array_equal(resumed["score"], whole["score"])
    pictures = read_images(resumed, resumed["image"])
    texts = xr.broadcast(resumed["text"], resumed["image"])[0].transpose(*resumed["image"].dims)
    expected = Brightness()(pictures, texts.values.ravel())
    np.testing.assert_array_equal(resumed["score"].values.ravel(), expected)


def test_a_damaged_result_is_made_anew_without_running_the_model(tiny_pipe, tmp_path):
    whole = sweep(tiny_pipe, store=tmp_path)
    (chunk,) = tmp_path.glob("*/data.zarr/score/c/0/0/0/0")
    chunk.unlink()
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    again = sweep(tiny_pipe, store=tmp_path)
    xr.testing.assert_identical(again.drop_attrs(), whole.drop_attrs())
    assert not calls


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"orders": ["best"]}, ParameterError, "unknown order 'best'; give some of MoRHF"),
        ({"orders": []}, ParameterError, "no order; give some of MoRHF"),
        ({"orders": ["random"], "draws": 0}, ParameterError, "no order"),
        ({"seeds": []}, ParameterError, "list of seeds is empty"),
        ({"num_images_per_prompt": 2}, ParameterError, "leave out num_images_per_prompt"),
        ({"cuts": [99]}, ParameterError, r"the cuts \[99\] are not between 0 and 8 heads"),
        ({"texts": ["red"]}, ParameterError, "2 prompts need as many texts, got 1"),
        ({"tokens": "red"}, TokenError, "red"),
        ({"factor": float("nan")}, ParameterError, "finite"),
    ],
)
def test_bad_input_is_refused_before_generating(tiny_pipe, changes, error, message):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=message):
        sweep(tiny_pipe, **changes)
    assert not calls


def test_an_unknown_concept_and_another_model_are_refused(tiny_pipe):
    given = {"texts": TEXTS, "score": Brightness(), **CALL}
    with pytest.raises(ConceptError, match="no concept 'Hue'"):
        hl.weaken(tiny_pipe, vectors(tiny_pipe), "Hue", PROMPTS, **given)
    with pytest.raises(ModelError, match="built from model"):
        hl.weaken(tiny_pipe, vectors(tiny_sd(seed=1)), "Color", PROMPTS, **given)
