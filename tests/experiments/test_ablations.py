import numpy as np
import pytest
import xarray as xr

from hrvlab.experiments.ablations import BALLOTS, by_variant, differences, variants


def test_the_windows_are_thirds_that_cover_all_calls_once():
    for steps in (3, 8, 20):
        windows = [way["window"] for way in variants(steps).values() if "window" in way]
        calls = [call for start, stop in windows for call in range(start, stop or steps)]
        assert calls == list(range(steps))


def test_every_variant_differs_from_the_published_in_one_thing():
    ways = variants(6)
    assert ways["published"] == {}
    assert all(len(way) == 1 for name, way in ways.items() if name != "published")
    assert len({(ballot.mass, ballot.start) for ballot in BALLOTS.values()}) == 4


def test_parts_are_laid_out_in_their_own_order():
    parts = ["Weather Conditions, published", "Weather Conditions, by votes",
             "Color, published", "Color, by votes"]  # fmt: skip
    result = xr.Dataset({"score": ("part", [1.0, 2, 3, 4])}, {"part": parts})
    laid_out = by_variant(result)
    assert list(laid_out["concept"].values) == ["Weather Conditions", "Color"]
    assert list(laid_out["variant"].values) == ["published", "by votes"]
    np.testing.assert_array_equal(
        laid_out["score"].transpose("concept", "variant"), [[1, 2], [3, 4]]
    )


def test_a_variant_is_compared_with_the_published_on_the_same_pictures():
    noise = np.random.default_rng(0).normal(size=(2, 1, 1, 6, 2))
    level = np.array([0.5, 0.2])[:, None, None, None]
    gap = xr.DataArray(
        noise + level,
        {"concept": ["Color", "Size"], "variant": ["published", "factor 0"], "kind": ["LeRHF"]},
        ("concept", "variant", "kind", "prompt", "seed"),
    )
    found = differences(gap)
    assert list(found["arm"].values) == ["factor 0"]
    # The pictures' noise is in both and cancels.
    for name in ("mean", "low", "high"):
        assert float(found[name][0]) == pytest.approx(0.3)
