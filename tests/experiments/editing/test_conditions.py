import numpy as np
import pytest

from hrvlab.experiments.editing.conditions import make_candidates, make_conditions
from tests.experiments.editing.test_trial import CASE
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd


@pytest.fixture(scope="module")
def hrv():
    return vectors(tiny_sd())


def test_every_condition_is_there_and_differs_by_one_setting_from_another(hrv):
    conditions = make_conditions(hrv, CASE, strengths=[1.0, 0.5])
    assert list(conditions) == [
        "P2P",
        "P2P, long",
        "P2P, early",
        "P2P-HRV × 0",
        "P2P-HRV × 1",
        "P2P-HRV × 0.5",
        "P2P-HRV × 1, short",
        "P2P-HRV × 1, early",
        "shuffled heads",
        "regenerated",
    ]
    shuffled = conditions["shuffled heads"].hrv
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(hrv))
    assert (shuffled != hrv).any()
    plans = [condition.plan() for condition in conditions.values()]
    assert all(plan not in plans[:number] for number, plan in enumerate(plans))


def test_conditions_with_and_without_a_vector_are_compared_at_equal_steps(hrv):
    shares = {
        name: (condition.self_share, condition.cross_share)
        for name, condition in make_conditions(hrv, CASE).items()
        if name != "regenerated"
    }
    assert shares["P2P"] == shares["P2P-HRV × 1, short"]
    assert shares["P2P, long"] == shares["P2P-HRV × 1"] == shares["shuffled heads"]
    assert shares["P2P, early"] == shares["P2P-HRV × 1, early"]
    assert len(set(shares.values())) == 3


def test_candidates_restrict_the_vector_to_a_block_or_to_the_top_heads(hrv):
    candidates = make_candidates(hrv, CASE)
    down = candidates["down only"].hrv
    np.testing.assert_array_equal(
        down.where(hrv["block"] == "down"), hrv.where(hrv["block"] == "down")
    )
    assert (down.where(hrv["block"] != "down", 1.0) == 1).all()
    assert candidates["cross 0.2"].cross_share == 0.2
    assert candidates["× 4"].strength == 4


def test_a_case_may_add_and_drop_words(hrv):
    pipe, case = tiny_sd(), CASE.model_copy(update={"target": "a photo of a blue and red vase"})
    for condition in make_conditions(hrv, case).values():
        condition.check(pipe)
    plain, _, early, *_, rescaled, shuffled, _ = make_conditions(hrv, case).values()
    images = [
        condition.generate(pipe, [0], batch_size=2, num_inference_steps=3).images
        for condition in (plain, early, rescaled, shuffled)
    ]
    assert all(image.shape == (1, 16, 16, 3) for image in images)
    assert all((image != images[0]).any() for image in images[1:])
