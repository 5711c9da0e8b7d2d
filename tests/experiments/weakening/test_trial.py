import shutil
import signal

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, StoreError, TokenError
from hrvlab.experiments.weakening.conditions import make_orders
from hrvlab.storage.locks import writing
from tests.faults import run_and_die
from tests.pipelines import tiny_sd
from tests.scores import Brightness, Redness

PROMPTS = ["a red car", "a photo of a blue cat"]
TEXTS = ["red", "blue"]
CALL = {"num_inference_steps": 2, "progress": False, "batch_size": 4, "cuts": [3], "draws": 2}


def vectors(pipe):
    heads = hl.head_table(pipe.unet).sizes["head_position"]
    rows = np.random.default_rng(0).gamma(0.7, size=(2, heads))
    return hl.relevance_from_array(rows, concepts=["Color", "Animals"], pipe=pipe)


def weakened(pipe, **changes):
    given = {"texts": TEXTS, "score": Brightness(), **CALL} | changes
    return hl.weaken(pipe, vectors(pipe), "Color", PROMPTS, **given)


def count_calls(pipe):
    calls = []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def test_every_image_is_what_weakening_those_heads_alone_generates(tiny_pipe):
    curves = weakened(tiny_pipe, seeds=[0, 5]).data
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


def test_attention_to_the_scored_word_alone_can_be_weakened(tiny_pipe):
    curves = weakened(tiny_pipe, tokens="scored", orders=["MoRHF"]).data
    for prompt, text in enumerate(TEXTS):
        edit = hl.Rescale(np.full(curves["weakened"].values[-1], -2.0), text)
        # Noise depends on the index of a prompt, so it is generated at its own.
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
    curves = weakened(tiny_pipe).data
    for cut in (0, -1):
        ends = curves["score"].isel(weakened=cut)
        assert (ends == ends.isel(order=0)).all()
    assert curves["share"].values[[0, -1]].tolist() == [0, 1]
    assert curves["kind"].values.tolist() == ["MoRHF", "LeRHF", "random", "random"]


def test_several_evaluators_score_the_same_images(tiny_pipe, tmp_path):
    both = weakened(tiny_pipe, score={"one": Brightness(), "two": Redness()}, store=tmp_path).data
    assert both["score"].dims == ("evaluator", "order", "weakened", "prompt", "seed")
    for name, score in (("one", Brightness()), ("two", Redness())):
        alone = weakened(tiny_pipe, score=score).data
        np.testing.assert_array_equal(both["score"].sel(evaluator=name), alone["score"])


def test_with_a_store_the_numbers_are_the_same_and_the_images_are_kept(tiny_pipe, tmp_path):
    stored = weakened(tiny_pipe, store=tmp_path)
    plain = weakened(tiny_pipe).data
    np.testing.assert_array_equal(stored.data["score"], plain["score"])
    some = stored.data.sel(order="LeRHF", seed=0).isel(prompt=1)
    images = stored.images(some["image"])
    expected = Brightness()(images, TEXTS[1:] * len(images))
    np.testing.assert_array_equal(some["score"], expected)
    calls = count_calls(tiny_pipe)
    again = weakened(tiny_pipe, store=tmp_path)
    xr.testing.assert_identical(again.data, stored.data)
    assert again.folder == stored.folder
    assert not calls


def test_without_a_store_there_are_no_images_to_read(tiny_pipe):
    run = weakened(tiny_pipe)
    assert "image" not in run.data
    with pytest.raises(StoreError, match="run it again with a store"):
        run.images(run.data["score"])


def test_a_finished_trial_is_read_while_another_run_holds_its_folder(tiny_pipe, tmp_path):
    whole = weakened(tiny_pipe, store=tmp_path)
    with writing(whole.stored()):
        again = weakened(tiny_pipe, store=tmp_path)
    xr.testing.assert_identical(again.data, whole.data)


def test_an_unfinished_trial_is_refused_while_another_run_holds_its_folder(tiny_pipe, tmp_path):
    whole = weakened(tiny_pipe, store=tmp_path)
    shutil.rmtree(whole.stored() / "data.zarr")
    with (
        writing(whole.stored()),
        pytest.raises(StoreError, match="another process is writing to"),
    ):
        weakened(tiny_pipe, store=tmp_path)


def weaken_all(store):
    weakened(tiny_sd(), store=store, cuts=None, seeds=[0, 1, 2])


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.full)])
def test_killed_at_random_points_it_resumes_to_identical_scores(tiny_pipe, tmp_path, kills):
    for point in np.random.default_rng(0).integers(40, 100, size=kills):
        assert run_and_die(weaken_all, tmp_path, point) == -signal.SIGKILL
    (units,) = tmp_path.glob("*/ledger")
    assert len(list(units.glob("*.npz"))) > min(kills, 3)
    resumed = weakened(tiny_pipe, store=tmp_path, cuts=None, seeds=[0, 1, 2])
    whole = weakened(tiny_pipe, cuts=None, seeds=[0, 1, 2])
    np.testing.assert_array_equal(resumed.data["score"], whole.data["score"])
    names = resumed.data["image"]
    texts = xr.broadcast(resumed.data["text"], names)[0].transpose(*names.dims)
    expected = Brightness()(resumed.images(names), texts.values.ravel())
    np.testing.assert_array_equal(resumed.data["score"].values.ravel(), expected)


def test_a_damaged_result_is_made_again_without_running_the_model(tiny_pipe, tmp_path):
    whole = weakened(tiny_pipe, store=tmp_path)
    (chunk,) = tmp_path.glob("*/data.zarr/score/c/0/0/0/0")
    chunk.unlink()
    calls = count_calls(tiny_pipe)
    again = weakened(tiny_pipe, store=tmp_path)
    xr.testing.assert_identical(again.data.drop_attrs(), whole.data.drop_attrs())
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
        ({"score": {}}, ParameterError, "there is no score"),
        ({"tokens": "red"}, TokenError, "red"),
        ({"factor": float("nan")}, ParameterError, "finite"),
    ],
)
def test_bad_input_is_refused_before_anything_is_generated_or_written(
    tiny_pipe, tmp_path, changes, error, message
):
    calls = count_calls(tiny_pipe)
    with pytest.raises(error, match=message):
        weakened(tiny_pipe, store=tmp_path, **changes)
    assert not calls
    assert not list(tmp_path.iterdir())


def test_an_unknown_concept_and_another_model_are_refused(tiny_pipe):
    given = {"texts": TEXTS, "score": Brightness(), **CALL}
    with pytest.raises(ConceptError, match="no concept 'Hue'"):
        hl.weaken(tiny_pipe, vectors(tiny_pipe), "Hue", PROMPTS, **given)
    with pytest.raises(ModelError, match="built from model"):
        hl.weaken(tiny_pipe, vectors(tiny_sd(seed=1)), "Color", PROMPTS, **given)
