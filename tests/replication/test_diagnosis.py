import numpy as np
import torch
import xarray as xr

import hrvlab as hl
from hrvlab.replication.diagnosis import profile_similarity
from hrvlab.replication.verify import rows
from tests.replication.verification import collect, verdict_on


def test_the_same_model_passes(votes, published):
    verdict = verdict_on(votes, published)
    assert verdict.passed
    assert verdict.kind == "same"
    assert set(verdict.concepts["outcome"].values) == {"agrees"}


def test_another_model_fails_and_is_named(votes, published):
    other = hl.load("miniature")
    torch.manual_seed(0)
    for weights in other.unet.parameters():
        if weights.ndim > 1:
            weights.data += weights.data.std() * torch.randn_like(weights)
    verdict = verdict_on(collect(other, votes["prompt_text"].values.tolist(), seed=0), published)
    assert not verdict.passed
    assert verdict.kind == "another model"
    assert "the likely cause is another model" in verdict.message


def test_permuted_heads_fail_and_are_found(votes, published):
    order = np.random.default_rng(0).permutation(published.sizes["head_position"])
    permuted = published.copy(data=published.values[:, order])
    verdict = verdict_on(votes, permuted)
    assert not verdict.passed
    assert verdict.kind == "head order"
    permuted = (order != np.arange(len(order))).sum()
    assert f"{permuted} of 128 head positions look permuted" in verdict.message


def test_heads_in_the_order_of_diffusers_processors_are_found_too(votes, published):
    """Down, up, mid: the order in which attention processors are listed."""
    blocks = [published["block"].values == block for block in ("down", "up", "mid")]
    order = np.concatenate([np.flatnonzero(block) for block in blocks])
    verdict = verdict_on(votes, published.copy(data=published.values[:, order]))
    assert verdict.kind == "head order"
    assert "such as 'mid" in verdict.message or "such as 'up" in verdict.message


def test_another_normalization_fails_and_is_named(votes, published):
    verdict = verdict_on(votes, published / published.sizes["head_position"])
    assert not verdict.passed
    assert verdict.kind == "normalization"
    assert "rows sum to 1 … 1, but rows of relevance sum to the number of head" in verdict.message


def test_one_concept_of_other_words_is_named(votes, published):
    other = published.copy()
    other.loc["Color"] = published.sel(concept="Animals").values
    verdict = verdict_on(votes, other)
    assert verdict.kind == "some concepts"
    assert "1 of 17 concepts differ (Color)" in verdict.message
    assert rows(verdict)[0][0] == "Color"


def test_random_votes_stay_open_and_do_not_pass(votes, published):
    chance = np.random.default_rng(0).multinomial(4, np.full(17, 1 / 17), size=(16, 128))
    by_timestep = xr.DataArray(chance.sum(0)[None], dims=votes["votes_by_timestep"].dims)
    noise = votes.isel(timestep=[0]).assign(
        votes_by_prompt=votes["votes_by_prompt"].copy(data=chance), votes_by_timestep=by_timestep
    )
    verdict = verdict_on(noise, published)
    assert not verdict.passed
    assert verdict.kind == "open"
    assert "use more prompts" in verdict.message


def test_heads_that_are_matched_by_their_profiles_undo_a_permutation():
    rng = np.random.default_rng(0)
    vectors = rng.gamma(1, size=(6, 40))
    order = rng.permutation(40)
    match = profile_similarity(vectors, vectors[:, order]).argmax(1)
    np.testing.assert_array_equal(order[match], np.arange(40))
