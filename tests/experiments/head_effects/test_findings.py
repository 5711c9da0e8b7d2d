import numpy as np
import xarray as xr

from hrvlab.experiments.head_effects.agreement import agreement_by_concept, vectors_and_baselines
from hrvlab.experiments.head_effects.findings import describe

CONCEPTS = ["Color", "Counting"]
RNG = np.random.default_rng(0)


def test_a_vector_that_predicts_effects_is_distinguished_from_one_that_does_not():
    heads = 64
    true = RNG.normal(size=(2, heads))
    effect = true[None, :, :, None, None] + RNG.normal(size=(1, 2, heads, 4, 2))
    effects = xr.Dataset(
        {
            "effect": (("evaluator", "concept", "head_position", "prompt", "seed"), effect),
            "attention": (("concept", "head_position"), RNG.random((2, heads))),
        },
        {"evaluator": ["judge"], "concept": CONCEPTS},
    )
    hrv = xr.DataArray(true, {"concept": CONCEPTS}, ("concept", "head_position"))
    found = agreement_by_concept(effects, vectors_and_baselines(effects, hrv))
    assert found["correlation"].dims == ("evaluator", "concept", "vector")
    own = found.sel(vector="relevance vector")
    assert (own["correlation"] <= found["ceiling"] + 0.1).all()
    assert (own["lead"] == 0).all()
    assert (found["lead_low"].sel(vector="random") > 0).all()
    sentence = describe(found)
    assert "clearly positive for **2 of 2** concepts and clearly negative for 0" in sentence
    assert sentence.count("for 2 concepts and clearly lower for 0") == 2
    assert "95 % bootstrap interval over prompts and their images excludes zero" in sentence
