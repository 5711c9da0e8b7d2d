import numpy as np
import pytest

from hrvlab.reservoir.estimates import estimate_relevance, share_interval


def test_rows_sum_to_the_number_of_heads():
    rng = np.random.default_rng(0)
    votes = rng.binomial(4, 0.3, size=(20, 6, 3)) / 4
    found = estimate_relevance(np.stack([votes, rng.normal(0, 0.05, votes.shape)]), timesteps=4)
    assert found.value.shape == (3, 6)
    assert np.allclose(found.value.sum(1), 6)
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


def test_a_concept_without_votes_is_nan():
    votes = np.zeros((2, 5, 4, 1), np.float32)
    assert np.isnan(estimate_relevance(votes, timesteps=2).value).all()


def test_an_error_is_corrected_as_far_as_it_is_larger_than_its_own_error():
    rng = np.random.default_rng(1)
    votes = np.full((200, 2, 1), 0.5)
    large, small = (rng.normal(mean, 0.3, size=(200, 1)) for mean in (0.2, 0.0))
    small -= small.mean() - 1e-3  # less than its error of 0.02
    found = estimate_relevance(np.stack([votes, np.stack([large, small], 1)]), timesteps=1)
    share = 0.5 + large.mean()
    assert found.value[0, 0] == pytest.approx(2 * share / (share + 0.5), rel=0.01)
    assert found.value[0, 0] > 1.1


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    rates = np.array([0.6, 0.2, 0.05, 0.01])
    truth = 4 * rates / rates.sum()
    covered = []
    for _ in range(400):
        # Prompts differ, and the calls of one prompt resemble one another.
        of_prompt = np.clip(rates * rng.uniform(0, 2, size=(60, 1, 1)), 0, 1)
        votes = rng.binomial(4, np.broadcast_to(of_prompt[:, 0], (60, 4)))[..., None] / 4
        found = estimate_relevance(np.stack([votes, np.zeros_like(votes)]), timesteps=4)
        covered.append((found.low[0] <= truth) & (truth <= found.high[0]))
    shares = np.mean(covered, 0)
    assert (shares > 0.9).all()
    assert (shares < 0.995).all()


def test_a_head_that_never_got_a_vote_may_yet_get_some():
    low, high = share_interval(np.zeros(1), np.zeros(1), 100, np.zeros(1))
    assert low[0] == 0
    assert 0.03 < high[0] < 0.05  # Wilson's


def test_intervals_are_wider_by_half_of_the_correction_of_small_samples():
    shares, variances, corrections = np.full(2, 0.3), np.full(2, 1e-3), np.array([0.0, -0.1])
    low, high = share_interval(shares, variances, 100, corrections)
    assert low[0] - low[1] == pytest.approx(0.05)
    assert high[1] - high[0] == pytest.approx(0.05)
    assert share_interval(shares, variances, 100, np.full(2, 9.0))[0].tolist() == [0, 0]
