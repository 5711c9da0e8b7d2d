import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError
from hrvlab.experiments.conditions import Prompt, condition_names, extremes, plan_trial, unfold
from hrvlab.experiments.runner import Generated, run_trial
from hrvlab.storage.schema import SCHEMAS, Schema
from tests.scores import Brightness, Redness

WEAKENED = hl.Rescale(np.full(8, -2.0), "red")
BOTH = hl.Rescale(np.stack([np.ones(8), np.full(8, -2.0)]), "red")
CONDITIONS = [Prompt("a red car", 0), Prompt("a red car", 0, BOTH), Prompt("a dog", 1)]
TEXTS = ["a", "bbb", "ccccc", "ddddddd"]
CALL = {"num_inference_steps": 2, "progress": False}


@pytest.fixture(autouse=True)
def any_rows(monkeypatch):
    monkeypatch.setitem(SCHEMAS, "rows", Schema("rows", {}))


def run(pipe, conditions=CONDITIONS, store=None, **changes):
    score = changes.pop("score", Brightness())
    given = {"texts": {"shown": TEXTS}, "seeds": [0, 3], "batch_size": 16, **changes}
    trial = plan_trial(
        pipe,
        conditions,
        lambda rows: rows,
        schema="rows",
        parameters={},
        score=score,
        num_inference_steps=2,
        **given,
    )
    return run_trial(pipe, trial, store=store, progress=False)


def test_every_row_is_what_generate_generates(tiny_pipe, tmp_path):
    found = run(tiny_pipe, store=tmp_path)
    call = {**CALL, "seed": [0, 3]}
    expected = [
        hl.generate(tiny_pipe, "a red car", **call),
        hl.generate(tiny_pipe, "a red car", **call),
        hl.generate(tiny_pipe, "a red car", edit=WEAKENED, **call),
        hl.generate(tiny_pipe, ["a cat", "a dog"], **call)[2:],
    ]
    assert found.data["image"].shape == (4, 2)
    np.testing.assert_allclose(
        found.images(found.data["image"]).astype(float), np.concatenate(expected), atol=1
    )


def test_a_batch_may_end_within_a_row(tiny_pipe, tmp_path):
    runs = [run(tiny_pipe, store=tmp_path, batch_size=size) for size in (16, 3)]
    images = [found.images(found.data["image"]).astype(float) for found in runs]
    np.testing.assert_allclose(*images, atol=1)


def test_another_edit_is_another_plan(tiny_pipe, tmp_path):
    for edit in (BOTH.for_prompts([1, 0]), BOTH):
        conditions = [CONDITIONS[0], Prompt("a red car", 0, edit), CONDITIONS[2]]
        run(tiny_pipe, conditions, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_every_row_is_scored_against_its_text(tiny_pipe, tmp_path):
    found = run(tiny_pipe, store=tmp_path)
    for number, text in enumerate(TEXTS):
        images = found.images(found.data["image"][number])
        np.testing.assert_array_equal(found.data["shown"][number], Brightness()(images, [text] * 2))
    with pytest.raises(ParameterError, match="4 rows need as many texts for 'shown', got 1"):
        run(tiny_pipe, store=tmp_path, texts={"shown": ["a"]})


def test_several_evaluators_score_the_same_images(tiny_pipe, tmp_path):
    alone = run(tiny_pipe, store=tmp_path).data
    both = run(tiny_pipe, store=tmp_path, score={"one": Brightness(), "two": Redness()})
    shown = both.data["shown"]
    np.testing.assert_array_equal(shown.sel(evaluator="one"), alone["shown"])
    expected = Redness()(both.images(both.data["image"]), np.repeat(TEXTS, 2))
    np.testing.assert_array_equal(shown.sel(evaluator="two").values.ravel(), expected)


def test_images_may_have_another_size_and_be_decoded_in_tiles(tiny_pipe, tmp_path):
    wide = run(tiny_pipe, store=tmp_path, height=16, width=24)
    assert wide.images(wide.data["image"]).shape[1:] == (16, 24, 3)
    plain = run(tiny_pipe, store=tmp_path)
    tiny_pipe.vae.enable_tiling()
    assert len({run(tiny_pipe, store=tmp_path).folder, plain.folder, wide.folder}) == 3


class Measured(Prompt):
    """A prompt with a measure of its own."""

    def generate(self, pipe, seeds, *, batch_size, **call):
        images = super().generate(pipe, seeds, batch_size=batch_size, **call).images
        return Generated(images, {"passes": np.arange(len(images))})


def test_what_a_condition_measures_is_kept_without_a_dim_of_evaluators(tiny_pipe, tmp_path):
    conditions = [Measured("a red car", 0), Measured("a dog", 1)]
    score = {"one": Brightness(), "two": Redness()}
    texts = {"shown": TEXTS[:2]}
    found = run(tiny_pipe, conditions, store=tmp_path, score=score, texts=texts).data
    assert found["passes"].dims == ("row", "seed")
    assert found["passes"].values.tolist() == [[0, 1], [0, 1]]


def test_rows_unfold_into_several_dims(tiny_pipe):
    found = run(tiny_pipe).data
    grid = unfold(found, {"case": 2, "condition": 2})
    for row in range(4):
        case, condition = divmod(row, 2)
        np.testing.assert_array_equal(
            grid["shown"].isel(case=case, condition=condition), found["shown"][row]
        )


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ([], ParameterError, "list of conditions is empty"),
        ([Prompt(" ", 0)], ParameterError, "give a text with words"),
        ([*CONDITIONS, Prompt("a cat", 0, BOTH)], TokenError, "'red' is not a word"),
    ],
)
def test_bad_conditions_are_refused_before_anything_is_generated(
    tiny_pipe, tmp_path, conditions, error, message
):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(error, match=message):
        run(tiny_pipe, conditions, store=tmp_path)
    assert not calls


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": []}, "list of seeds is empty"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_images_per_prompt": 2}, "leave out num_images_per_prompt"),
        ({"score": {}}, "there is no score"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_written(tiny_pipe, tmp_path, given, message):
    with pytest.raises(ParameterError, match=message):
        run(tiny_pipe, store=tmp_path, **given)
    assert not list(tmp_path.iterdir())


def test_the_extremes_are_the_largest_and_the_smallest_means():
    gained = xr.DataArray([[0.0, 0.2], [0.9, -0.9], [0.5, 0.6]], dims=("prompt", "seed"))
    assert extremes(gained) == (2, 1)
    unknown = xr.DataArray([[np.nan] * 2], dims=("prompt", "seed"))
    assert extremes(xr.concat([unknown, gained], "prompt")) == (3, 2)


ONE = {"plain": Prompt("a red car", 0), "edited": Prompt("a red car", 0, WEAKENED)}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], "2 cases need a list of as many dicts of conditions, got 0"),
        ([ONE], "2 cases need a list of as many dicts of conditions, got 1"),
        (ONE, "2 cases need a list of as many dicts"),
        ([{}, {}], "the dict of conditions is empty"),
        ([ONE, {"plain": ONE["plain"]}], "case 1 has other conditions .* differ in 'edited'"),
        ([ONE, {**ONE, "more": ONE["plain"]}], "case 1 has other conditions .* differ in 'more'"),
        ([ONE, {**ONE, "plain": CONDITIONS[1]}], "'plain' of case 1 has 2 rows; give conditions"),
    ],
)
def test_conditions_that_do_not_match_their_cases_are_refused(conditions, message):
    with pytest.raises(ParameterError, match=message):
        condition_names(conditions, 2)


def test_conditions_are_named_in_the_order_of_the_first_case():
    assert condition_names([ONE, dict(reversed(ONE.items()))], 2) == ["plain", "edited"]
