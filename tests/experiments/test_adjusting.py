from itertools import chain

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.experiments.adjusting import (
    REVERSED,
    adjusting_arms,
    candidate_settings,
    choose_setting,
)
from tests.experiments.test_polysemy import CASE, OTHER
from tests.experiments.test_steering import vectors
from tests.pipelines import tiny_sd


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


def test_every_setting_can_be_drawn(pipe):
    settings = candidate_settings(pipe.unet, calls=3)
    arms = adjusting_arms(vectors(pipe), [CASE, OTHER], settings)
    assert list(arms) == list(settings)
    for of_cases in arms.values():
        for case, arm in zip((CASE, OTHER), of_cases, strict=True):
            arm.check(pipe)
            assert arm.prompt == case.prompt


def test_a_setting_is_what_adjust_makes_of_it(pipe):
    hrv = vectors(pipe)
    settings = candidate_settings(pipe.unet, calls=8)
    arms = adjusting_arms(hrv, [CASE], settings)
    toward, away = hrv.values
    np.testing.assert_allclose(arms["gain 3, loss 2"][0].edit.factors, 3 * toward - 2 * away)
    np.testing.assert_allclose(arms[REVERSED][0].edit.factors, 2 * away - toward)
    assert arms["second half"][0].edit.window == (4, None)
    assert arms["second half"][0].edit.words == ["rose"]
    assert arms["word and end"][0].edit.words == ["rose", "⟨end⟩", "⟨padding⟩"]
    table = hl.head_table(pipe.unet)
    down = arms["down only"][0].edit.factors
    np.testing.assert_array_equal(down[table["place"].values != "down"], 1)
    assert (down[table["place"].values == "down"] != 1).all()


def test_the_places_and_the_grids_each_cover_every_layer_once(pipe):
    settings = candidate_settings(pipe.unet, calls=8)
    layers = {name: setting["layers"] for name, setting in settings.items() if "layers" in setting}
    places = [layers.pop(f"{place} only") for place in ("down", "mid", "up")]
    last = int(hl.head_table(pipe.unet)["layer"].max())
    for parts in (places, layers.values()):
        assert sorted(chain.from_iterable(parts)) == list(range(last + 1))


def test_the_setting_that_misreads_least_is_chosen_and_the_first_of_equals():
    misread = np.ones((2, 4, 3, 2), bool)
    misread[:, 2:, 0] = False
    found = xr.Dataset(
        {"misread": (("witness", "arm", "prompt", "seed"), misread)},
        {"arm": ["plain", "a", "b", "c"]},
    )
    assert choose_setting(found, ["a", "b", "c"]) == "b"
    assert choose_setting(found, ["a", "plain"]) == "a"
