from itertools import chain

import numpy as np
import pytest

import hrvlab as hl
from hrvlab.experiments.disambiguation.conditions import (
    REVERSED,
    adjusting_conditions,
    candidate_settings,
    make_factors,
)
from tests.experiments.disambiguation.test_trial import CASE, OTHER
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


def test_every_baseline_is_as_large_as_adjusting(pipe):
    hrv = vectors(pipe)
    factors = make_factors(hrv, CASE)
    np.testing.assert_array_equal(factors["plain"], 1)
    adjusting = factors["adjusting"]
    np.testing.assert_allclose(adjusting, 2 * hrv.values[0] - hrv.values[1])
    np.testing.assert_allclose(factors["strengthening"], hrv.values[0])
    np.testing.assert_array_equal(np.sort(factors["shuffled heads"]), np.sort(adjusting))
    assert (factors["shuffled heads"] != adjusting).any()
    assert len(set(factors["uniform"])) == 1
    assert (factors["uniform"] ** 2).sum() == pytest.approx((adjusting**2).sum())


def test_every_setting_can_be_generated(pipe):
    settings = candidate_settings(pipe.unet, calls=3)
    conditions = adjusting_conditions(vectors(pipe), [CASE, OTHER], settings)
    assert list(conditions) == list(settings)
    for of_cases in conditions.values():
        for case, condition in zip((CASE, OTHER), of_cases, strict=True):
            condition.check(pipe)
            assert condition.prompt == case.prompt


def test_a_setting_is_what_adjust_makes_of_it(pipe):
    hrv = vectors(pipe)
    settings = candidate_settings(pipe.unet, calls=8)
    conditions = adjusting_conditions(hrv, [CASE], settings)
    toward, away = hrv.values
    np.testing.assert_allclose(conditions["gain 3, loss 2"][0].edit.factors, 3 * toward - 2 * away)
    np.testing.assert_allclose(conditions[REVERSED][0].edit.factors, 2 * away - toward)
    assert conditions["second half"][0].edit.window == (4, None)
    assert conditions["second half"][0].edit.words == ["rose"]
    assert conditions["word and end"][0].edit.words == ["rose", "⟨end⟩", "⟨padding⟩"]
    table = hl.head_table(pipe.unet)
    down = conditions["down only"][0].edit.factors
    np.testing.assert_array_equal(down[table["block"].values != "down"], 1)
    assert (down[table["block"].values == "down"] != 1).all()


def test_the_blocks_and_the_grids_each_cover_every_layer_once(pipe):
    settings = candidate_settings(pipe.unet, calls=8)
    layers = {name: setting["layers"] for name, setting in settings.items() if "layers" in setting}
    blocks = [layers.pop(f"{block} only") for block in ("down", "mid", "up")]
    last = int(hl.head_table(pipe.unet)["layer"].max())
    for parts in (blocks, layers.values()):
        assert sorted(chain.from_iterable(parts)) == list(range(last + 1))
