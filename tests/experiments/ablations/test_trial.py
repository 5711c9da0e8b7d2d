import numpy as np
import pytest
import xarray as xr

from hrvlab.experiments.ablations.conditions import VOTING_RULES, variants
from hrvlab.experiments.ablations.trial import ablate, by_variant, differences
from hrvlab.experiments.weakening.trial import weaken
from tests.experiments.weakening.test_trial import PROMPTS, TEXTS, vectors
from tests.scores import Brightness


def test_every_variant_and_every_voting_rule_is_a_run_of_its_own(tiny_pipe, tmp_path):
    hrv = vectors(tiny_pipe)
    rules = {name: hrv.copy(data=hrv.values[:, ::-1]) for name in VOTING_RULES}
    given = {"texts": TEXTS, "score": Brightness(), "cuts": [3], "draws": 1, "progress": False}
    runs = ablate(
        tiny_pipe,
        hrv,
        "Color",
        PROMPTS,
        by_rule=rules,
        num_inference_steps=3,
        store=tmp_path,
        **given,
    )
    names = [*variants(4), *(f"by {name}" for name in VOTING_RULES)]
    assert list(runs) == names
    published = weaken(tiny_pipe, hrv, "Color", PROMPTS, num_inference_steps=3, **given).data
    np.testing.assert_array_equal(runs["published"].data["score"], published["score"])
    # The orders by all rules are the same here, and so are their plans.
    assert len({run.stored() for run in runs.values()}) == len(variants(4)) + 1


def test_parts_are_arranged_in_their_own_order():
    parts = ["Weather Conditions, published", "Weather Conditions, by votes",
             "Color, published", "Color, by votes"]  # fmt: skip
    result = xr.Dataset({"score": ("part", [1.0, 2, 3, 4])}, {"part": parts})
    laid_out = by_variant(result)
    assert list(laid_out["concept"].values) == ["Weather Conditions", "Color"]
    assert list(laid_out["variant"].values) == ["published", "by votes"]
    np.testing.assert_array_equal(
        laid_out["score"].transpose("concept", "variant"), [[1, 2], [3, 4]]
    )


def test_a_variant_is_compared_with_the_published_on_the_same_images():
    noise = np.random.default_rng(0).normal(size=(2, 1, 1, 6, 2))
    level = np.array([0.5, 0.2])[:, None, None, None]
    gap = xr.DataArray(
        noise + level,
        {"concept": ["Color", "Size"], "variant": ["published", "factor 0"], "kind": ["LeRHF"]},
        ("concept", "variant", "kind", "prompt", "seed"),
    )
    found = differences(gap)
    assert list(found["condition"].values) == ["factor 0"]
    # The noise of an image is in both and cancels.
    for name in ("mean", "low", "high"):
        assert float(found[name][0]) == pytest.approx(0.3)
