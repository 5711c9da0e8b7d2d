import json

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import HrvlabError, ParameterError, SchemaError
from hrvlab.relevance.uncertainty import bootstrap_relevance, convergence
from hrvlab.relevance.vectors import normalize
from hrvlab.results import read_result
from tests.pipelines import tiny_sd

PROMPTS = [f"a {color} {noun}" for color in ("red", "blue") for noun in ("car", "cat", "tree")]
CONCEPTS = hl.ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat", "dog"]})
CALLS = 5


def collect(prompts=PROMPTS, **options):
    settings = {"num_inference_steps": CALLS, "progress": False}
    return hl.collect_votes(tiny_sd(), CONCEPTS, prompts, **settings, **options)


@pytest.fixture(scope="module")
def votes():
    return collect()


@pytest.fixture(scope="module")
def other():
    return collect(["a tree", "a green car", "a dog and a cat"], seed=1)


def by_prompt(votes, prompts):
    """Build vectors of some prompts by hand."""
    return normalize(votes["votes_by_prompt"].values[prompts].sum(0))


def by_call(votes, calls):
    """Build vectors of some denoiser calls by hand."""
    return normalize(votes["votes_by_timestep"].values[calls].sum(0))


@pytest.mark.parametrize("chosen", [[0, 1], [3], [5, 0], [0, 0, 1, 1, 2, 2], [4] * 6, [0] * 9])
def test_vectors_of_some_prompts_are_those_of_these_prompts(votes, chosen):
    some = votes.isel(prompt=chosen)
    hrv = some.hrv.relevance()
    np.testing.assert_array_equal(hrv, by_prompt(votes, chosen))
    assert int(hrv["votes"].sum()) == int(some["votes_by_prompt"].sum())
    own = json.loads(hrv.attrs["parameters"])["prompts"]
    assert own == [PROMPTS[prompt] for prompt in chosen]


def test_vectors_of_a_prompt_are_those_of_a_run_of_it_alone(votes):
    np.testing.assert_array_equal(
        votes.isel(prompt=[0]).hrv.relevance(), collect(PROMPTS[:1]).hrv.relevance()
    )


@pytest.mark.parametrize("chosen", [[0, 1], [4], [0, 0, 1, 1, 2], [3] * 5, slice(None, None, -1)])
def test_vectors_of_some_calls_are_those_of_these_calls(votes, chosen):
    hrv = votes.isel(timestep=chosen).hrv.relevance()
    np.testing.assert_array_equal(hrv, by_call(votes, chosen))
    assert json.loads(hrv.attrs["parameters"])["prompts"] == PROMPTS
    assert ("split_half" in hrv.coords) == (chosen == slice(None, None, -1))


@pytest.mark.parametrize("calls", [[0], [0, 1, 2, 3, 3]])
@pytest.mark.parametrize("prompts", [[0, 1], [0, 0, 1, 2, 3, 4]])
def test_votes_of_some_prompts_in_some_calls_are_refused(votes, prompts, calls):
    with pytest.raises(ParameterError, match="select either prompts or calls"):
        votes.isel(prompt=prompts, timestep=calls).hrv.relevance()


def test_what_was_not_counted_is_refused(votes):
    with pytest.raises(ParameterError, match="those of all prompts, but some prompts were"):
        votes.isel(prompt=[0, 1]).hrv.relevance_by_timestep()
    for build in (bootstrap_relevance, convergence, lambda some: some.hrv.relevance_by_half()):
        with pytest.raises(ParameterError, match="those of all denoiser calls, but some calls"):
            build(votes.isel(timestep=[0, 1]))


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
@pytest.mark.parametrize("defaults", ["old", "new"])
def test_vectors_of_joined_votes_are_those_of_all_their_prompts(votes, other, defaults):
    with xr.set_options(use_new_combine_kwarg_defaults=defaults == "new"):
        joined = xr.concat([votes, other], "prompt")
    counts = votes["votes_by_prompt"].values.sum(0) + other["votes_by_prompt"].values.sum(0)
    hrv = joined.hrv.relevance()
    np.testing.assert_array_equal(hrv, normalize(counts))
    assert json.loads(hrv.attrs["parameters"])["prompts"][6] == "a tree"
    with pytest.raises(HrvlabError):
        joined.hrv.relevance_by_timestep()


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
@pytest.mark.parametrize("defaults", ["old", "new"])
def test_parts_that_are_joined_again_hold_all_votes(votes, defaults):
    for dim in ("prompt", "timestep"):
        parts = [votes.isel({dim: part}) for part in (slice(2), slice(2, None))]
        with xr.set_options(use_new_combine_kwarg_defaults=defaults == "new"):
            joined = xr.concat(parts, dim)
        np.testing.assert_array_equal(joined.hrv.relevance(), votes.hrv.relevance())


def test_vectors_of_votes_that_were_added_are_those_of_both(votes):
    again = collect(seed=7)
    both = votes["votes_by_prompt"].values.sum(0) + again["votes_by_prompt"].values.sum(0)
    np.testing.assert_array_equal((votes + again).hrv.relevance(), normalize(both))


def test_shuffled_votes_are_counted_as_they_are(votes):
    order = np.random.default_rng(0).permutation(votes.sizes["head_position"])
    shuffled = votes.assign(
        {name: votes[name].copy(data=votes[name].values[:, order]) for name in votes.data_vars}
    )
    np.testing.assert_array_equal(shuffled.hrv.relevance(), votes.hrv.relevance()[:, order])


def test_coarser_calls_hold_the_same_votes(votes):
    coarse = votes.isel(timestep=slice(4)).coarsen(timestep=2).sum()
    np.testing.assert_array_equal(coarse.hrv.relevance(), by_call(votes, slice(4)))


def test_a_table_alone_holds_its_votes(votes):
    np.testing.assert_array_equal(
        votes.isel(prompt=[0, 1]).drop_dims("timestep").hrv.relevance(), by_prompt(votes, [0, 1])
    )
    np.testing.assert_array_equal(
        votes.isel(timestep=[0]).drop_dims("prompt").hrv.relevance(), by_call(votes, [0])
    )


def test_tables_that_disagree_are_refused_without_the_sum_that_was_collected(votes):
    bare = votes.drop_vars("collected")
    np.testing.assert_array_equal(bare.hrv.relevance(), votes.hrv.relevance())
    with pytest.raises(ParameterError, match=r"drop_dims\('timestep'\)"):
        bare.isel(prompt=[0, 1]).hrv.relevance()


def test_concepts_and_heads_are_selected_in_both_tables(votes):
    some = votes.isel(concept=[1], head_position=[5, 2, 3])
    hrv = some.hrv.relevance()
    expected = normalize(votes["votes_by_prompt"].values[:, [5, 2, 3]][..., [1]].sum(0))
    np.testing.assert_array_equal(hrv, expected)
    assert hrv["label"].values.tolist() == some["label"].values.tolist()
    np.testing.assert_array_equal(
        some.isel(prompt=[2, 4]).hrv.relevance()[0],
        normalize(votes["votes_by_prompt"].values[[2, 4]][:, [5, 2, 3]][..., [1]].sum(0))[0],
    )


@pytest.mark.parametrize(
    "select",
    [
        lambda votes: votes.isel(prompt=0),
        lambda votes: votes.sel(concept="Color"),
        lambda votes: votes.expand_dims(voting_rule=2),
        lambda votes: votes.drop_dims(["prompt", "timestep"]),
    ],
)
def test_votes_of_other_dims_are_refused_with_the_remedy(votes, select):
    with pytest.raises(SchemaError, match=r"select by lists, such as isel\(prompt=\[0\]\)"):
        select(votes).hrv.relevance()


@pytest.mark.parametrize("change", [lambda votes: votes * -1, lambda votes: votes.where(votes > 1)])
def test_missing_and_negative_votes_are_refused(votes, change):
    with pytest.raises(ParameterError):
        change(votes).hrv.relevance()
    with pytest.raises(ParameterError, match="NaN or negative"):
        change(votes.drop_dims("timestep")).hrv.relevance()


def test_stored_and_shipped_votes_are_selected_alike(tmp_path):
    stored = collect(store=tmp_path)
    again = collect(store=tmp_path)
    np.testing.assert_array_equal(again.isel(prompt=[1]).hrv.relevance(), by_prompt(stored, [1]))
    shipped = read_result("votes").data
    np.testing.assert_array_equal(
        shipped.isel(prompt=slice(9)).hrv.relevance(), by_prompt(shipped, slice(9))
    )
    rules = read_result("voting-rules").data
    some = rules.sel(voting_rule="attention").isel(prompt=[0, 3])
    np.testing.assert_array_equal(some.hrv.relevance(), by_prompt(some, [0, 1]))
