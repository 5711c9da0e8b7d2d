import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.relevance.uncertainty import (
    bootstrap_relevance,
    convergence,
    resample_votes,
    top_head_stability,
    top_heads_with_interval,
)
from hrvlab.relevance.vectors import normalize, relevance

HEADS, CONCEPTS, CALLS = 12, 3, 40


def votes(prompts=64, sharpness=1.0, seed=0):
    """Draw votes of heads whose probabilities of concepts are the same for every prompt."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(CONCEPTS, 1 / sharpness), size=HEADS)
    by_prompt = np.stack([rng.multinomial(CALLS, probabilities) for _ in range(prompts)])
    return xr.Dataset(
        {
            "votes_by_prompt": (("prompt", "head_position", "concept"), by_prompt),
            "votes_by_timestep": (
                ("timestep", "head_position", "concept"),
                by_prompt.sum(0, keepdims=True),
            ),
        },
        {"concept": ["Color", "Animals", "Size"], "label": ("head_position", list("abcdefghijkl"))},
    )


def test_a_resample_holds_as_many_votes():
    drawn = resample_votes(votes()["votes_by_prompt"].values, 5)
    assert (drawn.sum(-1) == 64 * CALLS).all()


def test_resampling_is_adding_up_drawn_prompts():
    counts = votes(prompts=6)["votes_by_prompt"].values
    drawn = resample_votes(counts, 50)
    rng = np.random.Generator(np.random.Philox(key=0))
    times = rng.multinomial(6, np.full(6, 1 / 6), size=50)
    expected = [sum(n * prompt for n, prompt in zip(row, counts, strict=True)) for row in times]
    np.testing.assert_array_equal(drawn, expected)


def test_resampled_vectors_scatter_around_the_vector():
    data = votes(prompts=400)
    draws = bootstrap_relevance(data, resamples=300)
    np.testing.assert_allclose(draws.sum("head_position"), HEADS)
    whole = normalize(data["votes_by_prompt"].values.sum(0))
    np.testing.assert_allclose(draws.mean("draw"), whole, atol=0.05)


def test_top_heads_are_stable_if_heads_prefer_concepts_and_not_if_they_vote_alike():
    def stability(data):
        draws = bootstrap_relevance(data, resamples=100)
        return float(top_head_stability(relevance(data), draws, 3).mean())

    assert stability(votes(sharpness=5.0)) > 0.9
    assert stability(votes(prompts=8, sharpness=1e-4)) < 0.9


def test_the_same_vector_in_every_draw_is_perfectly_stable():
    hrv = relevance(votes())
    draws = xr.concat([hrv] * 3, "draw")
    assert (top_head_stability(hrv, draws, 4) == 1).all()


def test_top_heads_carry_their_own_intervals_and_labels():
    data = votes(prompts=200)
    hrv = relevance(data)
    draws = bootstrap_relevance(data, resamples=100)
    top = top_heads_with_interval(hrv, draws, 4)
    for concept in range(CONCEPTS):
        head = list(hrv["label"].values).index(str(top["label"].values[concept, 0]))
        assert float(top["relevance"][concept, 0]) == hrv.values[concept].max()
        low, high = np.quantile(draws.values[:, concept, head], [0.025, 0.975])
        assert (float(top["low"][concept, 0]), float(top["high"][concept, 0])) == (low, high)
    xr.testing.assert_equal(top["stability"], top_head_stability(hrv, draws, 4))


@pytest.mark.parametrize("ranked", [False, True])
def test_more_prompts_agree_better(ranked):
    found = convergence(votes(prompts=128, sharpness=0.3), ranked=ranked)
    assert list(found["prompts"].values) == [4, 8, 16, 32, 64]
    means = found.mean("concept").values
    assert (np.diff(means) > 0).all()
    assert (found <= 1).all()


def test_two_sets_of_prompts_correlate_by_pearsons_formula():
    data = votes(prompts=8)
    found = convergence(data, sizes=[4], resamples=1)
    order = np.random.Generator(np.random.Philox(key=0)).permutation(8)
    counts = data["votes_by_prompt"].values
    one, other = (normalize(counts[half].sum(0)) for half in (order[:4], order[-4:]))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(found[0], expected)


@pytest.mark.filterwarnings("error")
def test_a_concept_without_votes_does_not_converge():
    data = votes(prompts=8)
    for table in ("votes_by_prompt", "votes_by_timestep"):
        data[table][:, :, 1] = 0
    assert np.isnan(convergence(data)).all("prompts").values.tolist() == [False, True, False]


@pytest.mark.parametrize("sizes", [[5], [0], []])
def test_sets_that_would_overlap_are_refused(sizes):
    with pytest.raises(ParameterError, match="give sizes from 1 to 4"):
        convergence(votes(prompts=8), sizes=sizes)


def test_intervals_are_those_of_the_selected_concepts_and_heads():
    data = votes(prompts=50).assign_coords(head_position=range(HEADS))
    hrv, draws = relevance(data), bootstrap_relevance(data, resamples=50)
    whole = top_heads_with_interval(hrv, draws, HEADS)
    chosen = {"concept": ["Size", "Color"], "head_position": [7, 2, 5]}
    some = top_heads_with_interval(hrv.sel(chosen), draws, 3)
    assert some["concept"].values.tolist() == chosen["concept"]
    for concept in chosen["concept"]:
        one, all_heads = some.sel(concept=concept), whole.sel(concept=concept)
        kept = np.isin(all_heads["label"].values, list("hcf"))
        for name in ("label", "relevance", "low", "high"):
            np.testing.assert_array_equal(one[name], all_heads[name].values[kept])
