import numpy as np
import xarray as xr

import hrvlab as hl
from hrvlab.experiments.head_effects.agreement import agreement
from hrvlab.relevance.vectors import relevance
from hrvlab.statistics import correlation
from tests.experiments.weakening.test_trial import PROMPTS

RNG = np.random.default_rng(0)


def effects_of(values):
    return xr.DataArray(values, dims=("head_position", "prompt", "seed"))


def test_agreement_has_an_interval_around_the_rank_correlation():
    true = RNG.normal(size=128)
    effects = effects_of(true[:, None, None] + RNG.normal(size=(128, 8, 2)))
    vectors = {"true": true, "random": RNG.normal(size=128)}
    vectors = {name: xr.DataArray(row, dims="head_position") for name, row in vectors.items()}
    found = agreement(effects, vectors)
    mean = effects.mean(("prompt", "seed")).values
    np.testing.assert_allclose(found["correlation"][0], correlation(mean, true, ranked=True))
    assert found["low"].sel(vector="true") > found["high"].sel(vector="random")


def test_shares_of_votes_agree_exactly_as_their_relevance_does(tiny_pipe, concepts):
    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS, num_inference_steps=3, progress=False)
    shares = votes["votes_by_prompt"].sum("prompt").sel(concept="Color") / 6
    effects = effects_of(RNG.normal(size=(shares.size, 4, 2)))
    vectors = {"relevance": relevance(votes).sel(concept="Color"), "shares": shares}
    found = agreement(effects, vectors)
    for name in ("correlation", "low", "high"):
        assert float(found[name][0]) == float(found[name][1])


def test_effects_of_images_that_were_withheld_are_left_out():
    effects = effects_of(RNG.normal(size=(16, 6, 2)))
    vectors = {"random": xr.DataArray(RNG.normal(size=16), dims="head_position")}
    withheld = xr.concat([effects, effects[:, :1] * np.nan], "prompt")
    known, found = agreement(effects, vectors), agreement(withheld, vectors)
    np.testing.assert_allclose(found["correlation"], known["correlation"])
    assert np.isfinite([found["low"], found["high"]]).all()


def test_heads_are_compared_by_their_positions():
    effects = effects_of(RNG.normal(size=(16, 6, 2))).assign_coords(head_position=range(16))
    vector = xr.DataArray(RNG.normal(size=16), {"head_position": range(16)})
    xr.testing.assert_identical(
        agreement(effects, {"one": vector}), agreement(effects, {"one": vector[::-1]})
    )
