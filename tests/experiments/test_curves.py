import numpy as np
import pytest
import xarray as xr

from hrvlab.experiments.curves import (
    area,
    bootstrap_interval,
    by_kind,
    clustered_interval,
    gaps,
    with_interval,
)


def curves(score):
    """Four orders × three cuts × two prompts × two seeds."""
    return xr.Dataset(
        {"score": (("order", "weakened", "prompt", "seed"), score)},
        {
            "order": ["MoRHF", "LeRHF", "random 0", "random 1"],
            "kind": ("order", ["MoRHF", "LeRHF", "random", "random"]),
            "weakened": [0, 2, 8],
            "share": ("weakened", [0.0, 0.25, 1.0]),
        },
    )


def test_a_constant_score_is_its_own_area():
    assert np.allclose(area(curves(np.full((4, 3, 2, 2), 0.3))), 0.3)


def test_areas_are_trapezoids_over_the_share_of_heads():
    score = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    expected = 0.25 * (score[:, 0] + score[:, 1]) / 2 + 0.75 * (score[:, 1] + score[:, 2]) / 2
    np.testing.assert_allclose(area(curves(score)), expected)


def test_random_orders_are_averaged():
    score = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    areas = area(curves(score))
    np.testing.assert_allclose(by_kind(areas).sel(kind="random"), areas[2:].mean("order"))


def test_a_gap_is_positive_where_most_relevant_first_ends_lower():
    score = np.ones((4, 3, 2, 2))
    score[0, 1] = 0.0
    found = gaps(curves(score))
    assert sorted(found["kind"].values) == ["LeRHF", "random"]
    assert (found > 0).all()


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.normal(2.0, 1.0, size=(300, 40))
    low, high = bootstrap_interval(samples, resamples=500)
    covered = ((low < 2.0) & (high > 2.0)).mean()
    assert 0.88 < covered < 0.98


def test_intervals_of_paired_values_stay_paired():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=30)
    low, high = bootstrap_interval(np.stack([noise, noise + 1]))
    np.testing.assert_allclose([low[1] - low[0], high[1] - high[0]], 1.0)


@pytest.mark.parametrize("dims", [("kind", "prompt", "seed"), ("seed", "prompt", "kind")])
def test_an_interval_holds_the_mean(dims):
    array = xr.DataArray(np.random.default_rng(0).normal(size=(3, 4, 5)), dims=dims)
    found = with_interval(array)
    assert found["mean"].dims == ("kind",)
    assert (found["low"] < found["mean"]).all()
    assert (found["mean"] < found["high"]).all()


def test_prompts_that_differ_from_each_other_widen_a_clustered_interval():
    rng = np.random.default_rng(0)
    of_prompts = rng.normal(size=(6, 1))
    array = xr.DataArray(of_prompts + 0.01 * rng.normal(size=(6, 8)), dims=("prompt", "seed"))
    apart, clustered = with_interval(array), clustered_interval(array)
    assert clustered["mean"] == apart["mean"]
    assert clustered["high"] - clustered["low"] > 2 * (apart["high"] - apart["low"])


def test_a_clustered_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    words = np.repeat(np.arange(12), 2)
    array = xr.DataArray(
        rng.normal(size=(200, 12, 1)).repeat(2, axis=1) + rng.normal(size=(200, 24, 4)),
        {"word": ("prompt", words)},
        ("trial", "prompt", "seed"),
    )
    found = clustered_interval(array, "word")
    assert 0.85 < ((found["low"] < 0) & (found["high"] > 0)).mean() < 0.99
    narrow = clustered_interval(array)
    assert (narrow["high"] - narrow["low"]).mean() < 0.9 * (found["high"] - found["low"]).mean()


def test_clustered_intervals_of_paired_values_stay_paired():
    noise = np.random.default_rng(0).normal(size=(5, 4))
    array = xr.DataArray(np.stack([noise, noise + 1]), dims=("arm", "prompt", "seed"))
    found = clustered_interval(array)
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(found[name][1] - found[name][0], 1.0)


def test_clusters_of_several_sizes_weigh_by_their_pictures():
    array = xr.DataArray(
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]],
        {"word": ("prompt", ["a", "a", "a", "b"])},
        ("prompt", "seed"),
    )
    found = clustered_interval(array, "word")
    assert (found["low"], found["mean"], found["high"]) == (0.0, 0.75, 1.0)
