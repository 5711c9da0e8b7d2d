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
    vectors = {"true": xr.DataArray(true), "random": xr.DataArray(RNG.normal(size=128))}
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
