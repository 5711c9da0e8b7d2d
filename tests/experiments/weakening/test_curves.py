import numpy as np
import xarray as xr

from hrvlab.experiments.weakening.curves import area, by_kind, gaps


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
