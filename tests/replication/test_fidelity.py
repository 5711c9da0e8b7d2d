import numpy as np
import pytest

from hrvlab.errors import ParameterError
from hrvlab.replication.fidelity import compare, expected_correlation
from hrvlab.statistics import spearman_brown
from tests.replication.verification import PUBLISHED_PROMPTS


def test_the_same_model_reaches_the_expected_correlation(votes, published):
    concepts = compare(votes, published, published_prompts=PUBLISHED_PROMPTS)
    difference = np.arctanh(concepts["found"]) - np.arctanh(concepts["expected"])
    assert abs(float(difference.mean())) < 0.2
    assert (concepts["lowest"] < concepts["expected"]).all()


def test_too_few_prompts_cannot_be_split(votes, published):
    few = votes.isel(prompt=slice(7))
    with pytest.raises(ParameterError, match="7 prompts are too few to split; give 8 or more"):
        compare(few, published)


def test_expected_correlations_are_those_of_simulated_measurements():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    units = truth + 3 * rng.normal(size=(60, len(truth)))
    yours, theirs = units[:16].mean(0), units[16:].mean(0)
    halves = np.corrcoef(units[:16:2].mean(0), units[1:16:2].mean(0))[0, 1]
    expected = expected_correlation(np.array([halves]), 16, 44)
    assert np.corrcoef(yours, theirs)[0, 1] == pytest.approx(expected[0], abs=0.02)
    reliability = spearman_brown(np.array([1 / 10]), 16)
    assert reliability[0] == pytest.approx(16 / 25)


def test_a_correlation_with_a_vector_that_does_not_vary_counts_as_0(votes, published):
    constant = votes.drop_dims("timestep").copy(deep=True)
    constant["votes_by_prompt"][:, :, 0] = 1
    concepts = compare(constant, published, published_prompts=PUBLISHED_PROMPTS)
    for name in ("split_half", "expected", "found"):
        assert float(concepts[name][0]) == 0
        assert (concepts[name][1:] > 0).all()
    flat = published.copy()
    flat[1] = 1
    assert float(compare(votes, flat, published_prompts=PUBLISHED_PROMPTS)["found"][1]) == 0
