import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError
from hrvlab.models.heads import head_table
from hrvlab.relevance.model import check_model
from hrvlab.relevance.vectors import concept_vector, normalize, rank
from tests.pipelines import tiny_sd

PROMPTS = [f"a {color} {noun}" for color in ("red", "blue") for noun in ("car", "cat", "tree")]
NAMES = ["Color", "Animals", "Style"]


@pytest.fixture
def votes(tiny_pipe, concepts):
    return hl.collect_votes(tiny_pipe, concepts, PROMPTS, num_inference_steps=5, progress=False)


def example(pipe, seed=0):
    heads = head_table(pipe.unet).sizes["head_position"]
    array = np.random.default_rng(seed).gamma(1, size=(3, heads))
    return hl.relevance_from_array(array, concepts=NAMES, pipe=pipe)


@given(hnp.arrays(np.int64, (6, 4), elements=st.integers(1, 1000)))
def test_rows_sum_to_the_number_of_head_positions(votes):
    vectors = normalize(votes)
    np.testing.assert_allclose(vectors.sum(-1), 6)
    plain = [[6 * votes[g, c] / votes[:, c].sum() for g in range(6)] for c in range(4)]
    np.testing.assert_allclose(vectors, plain)


def test_vectors_from_votes_are_labeled_and_normalized(votes):
    hrv = votes.hrv.relevance()
    assert hrv.dims == ("concept", "head_position")
    np.testing.assert_allclose(hrv.sum("head_position"), hrv.sizes["head_position"])
    assert hrv.sel(concept="Color")["label"].values[0] == "down, layer: 0, head: 0"
    assert (hrv["votes"] == votes["votes_by_timestep"].sum(("timestep", "head_position"))).all()


def test_vectors_carry_the_correlation_of_those_from_even_and_from_odd_prompts(votes):
    first, second = (normalize(votes["votes_by_prompt"].values[i::2].sum(0)) for i in (0, 1))
    expected = [np.corrcoef(*pair)[0, 1] for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(votes.hrv.relevance()["split_half"], expected)
    assert "split_half" not in votes.isel(prompt=[0]).hrv.relevance().coords


def test_each_call_is_normalized_by_itself(votes):
    by_timestep = votes.hrv.relevance_by_timestep()
    assert by_timestep.dims == ("timestep", "concept", "head_position")
    sums = by_timestep.sum("head_position", skipna=False)
    np.testing.assert_allclose(sums.values[np.isfinite(sums)], 8)


def test_the_second_half_holds_the_odd_prompts(votes):
    by_half = votes.hrv.relevance_by_half()
    odd = normalize(votes["votes_by_prompt"].values[1::2].sum(0))
    np.testing.assert_allclose(by_half.isel(half=1), odd)


def test_one_prompt_cannot_be_split(votes):
    with pytest.raises(ParameterError, match="one prompt cannot be split into halves"):
        votes.isel(prompt=[0]).hrv.relevance_by_half()


def test_a_concept_without_votes_is_an_error(votes):
    empty = votes.copy(deep=True)
    empty["votes_by_timestep"].loc[{"concept": "Animals"}] = 0
    with pytest.raises(ConceptError, match="no head voted for Animals"):
        empty.hrv.relevance()


@given(hnp.arrays(np.float64, (3, 10), elements=st.sampled_from([0.0, 1.0, 2.0])))
def test_ranking_is_descending_with_ties_by_position(values):
    order = rank(xr.DataArray(values, dims=("concept", "head_position"))).values
    for row, ranked in zip(values, order, strict=True):
        assert ranked.tolist() == sorted(range(10), key=lambda g: (-row[g], g))


def test_ranks_are_positions_whatever_heads_are_selected_in_whatever_order(tiny_pipe):
    hrv = example(tiny_pipe)
    chosen = [6, 1, 4]
    for row, ranked in zip(
        hrv.values, hrv.isel(head_position=chosen).hrv.rank().values, strict=True
    ):
        assert ranked.tolist() == sorted(chosen, key=lambda position: -row[position])


def test_a_vector_has_all_heads_in_the_models_order(tiny_pipe):
    hrv = example(tiny_pipe)
    expected = hrv.values[1]
    for same in (hrv[:, ::-1], hrv[::-1], hrv.T, hrv.sortby(hrv[0])):
        np.testing.assert_array_equal(concept_vector(same, "Animals"), expected)
        np.testing.assert_array_equal(
            hl.strengthen(same, "Animals", "car").factors,
            hl.strengthen(hrv, "Animals", "car").factors,
        )


@pytest.mark.parametrize(
    ("select", "error", "message"),
    [
        (lambda hrv: hrv[:, 1:], ParameterError, "only some of the model's heads"),
        (lambda hrv: hrv[:, [0, 0, 1]], ParameterError, "some of them twice"),
        (lambda hrv: hrv.isel(concept=1), ParameterError, "select concepts by a list"),
        (lambda hrv: hrv.expand_dims(half=2), ParameterError, "any further dim"),
        (lambda hrv: xr.concat([hrv, hrv], "concept"), ConceptError, "2 vectors are named"),
        (lambda hrv: hrv.where(hrv > 1), ConceptError, "NaN"),
    ],
)
def test_vectors_that_lack_something_are_not_used(tiny_pipe, select, error, message):
    changed = select(example(tiny_pipe))
    with pytest.raises(error, match=message):
        hl.strengthen(changed, "Animals", "car")


def test_vectors_of_too_few_heads_are_refused_before_anything_is_generated(tiny_pipe):
    with pytest.raises(ParameterError, match="hold 5 head positions, the model has 8"):
        check_model(example(tiny_pipe)[:, :5], tiny_pipe)


def test_a_grid_of_some_heads_has_their_layers_only(tiny_pipe):
    hrv = example(tiny_pipe)
    some = hrv.isel(head_position=[7, 2, 3])
    grid = some.hrv.unstack_heads()
    assert grid["layer"].values.tolist() == [1, 3]
    np.testing.assert_array_equal(grid.sel(layer=1), hrv.values[:, [2, 3]])
    with pytest.raises(ParameterError, match="lacks some of the model's layers"):
        grid.hrv.stack_heads(head_table(tiny_pipe.unet))


@pytest.mark.parametrize("heads", [2, (2, 4)])
def test_heads_unstack_and_stack_without_loss(heads):
    pipe = tiny_sd(heads=heads)
    hrv = example(pipe)
    grid = hrv.hrv.unstack_heads()
    assert grid.sizes["layer"] == 4
    back = grid.hrv.stack_heads(head_table(pipe.unet))
    np.testing.assert_array_equal(back, hrv)
    assert (back["label"] == hrv["label"]).all()


def test_vectors_of_another_model_are_refused_unless_allowed(tiny_pipe):
    hrv = example(tiny_sd(seed=1))
    with pytest.raises(ModelError, match="built from model .* allow_other_model=True"):
        check_model(hrv, tiny_pipe)
    check_model(hrv, tiny_pipe, allow_other_model=True)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 7)), r"shape \(3, 7\); 3 concepts and this model's heads need \(3, 8\)"),
        (np.full((3, 8), np.nan), "NaN"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tiny_pipe, array, message):
    with pytest.raises(ParameterError, match=message):
        hl.relevance_from_array(array, concepts=NAMES, pipe=tiny_pipe)


def test_two_vectors_of_one_name_are_refused(tiny_pipe):
    with pytest.raises(ParameterError, match="Color is given more than once"):
        hl.relevance_from_array(np.ones((2, 8)), concepts=["Color", "Color"], pipe=tiny_pipe)
