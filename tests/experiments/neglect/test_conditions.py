import numpy as np

from hrvlab.experiments.neglect.conditions import make_conditions
from tests.experiments.neglect.test_trial import PAIR, SETTINGS
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd


def test_every_condition_is_there_and_differs_from_another_by_one_setting():
    hrv = vectors(tiny_sd())
    conditions = make_conditions(hrv, PAIR, 0, **SETTINGS)
    assert list(conditions) == ["plain", "A&E", "r ≡ 1", "A&E-HRV", "shuffled heads"]
    shuffled = conditions["shuffled heads"].hrv
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(hrv))
    assert (shuffled != hrv).any()
    plans = [condition.plan() for condition in conditions.values()]
    assert all(plan not in plans[:number] for number, plan in enumerate(plans))
