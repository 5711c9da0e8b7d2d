import numpy as np
import pytest
import xarray as xr

from hrvlab.relevance.similarity import (
    block_shares,
    concept_similarity,
    heads_for_half,
    nearest_centroid,
    shared_structure,
    split_half_correlation,
    timestep_stability,
)

RNG = np.random.default_rng(0)


def vectors(*leading):
    shape = (*[size for _, size in leading], 4, 9)
    dims = (*[name for name, _ in leading], "concept", "head_position")
    return xr.DataArray(RNG.gamma(1, size=shape), dims=dims, coords={"concept": list("abcd")})


def test_concept_similarity_is_the_cosine_of_every_pair():
    hrv = vectors()
    found = concept_similarity(hrv)
    for i in range(4):
        for j in range(4):
            a, b = hrv.values[i], hrv.values[j]
            expected = a @ b / np.sqrt((a @ a) * (b @ b))
            np.testing.assert_allclose(found[i, j], expected)


def test_timestep_stability_compares_a_concept_with_itself():
    by_timestep = vectors(("timestep", 3))
    found = timestep_stability(by_timestep)
    a, b = by_timestep.values[0, 2], by_timestep.values[1, 2]
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    np.testing.assert_allclose(found.sel(concept="c")[0, 1], expected)
    np.testing.assert_allclose(found.sel(concept="c").values.diagonal(), 1)


def test_split_half_correlation_is_pearsons():
    by_half = vectors(("half", 2))
    found = split_half_correlation(by_half)
    assert found.dims == ("concept",)
    assert found["concept"].values.tolist() == list("abcd")
    for concept in range(4):
        expected = np.corrcoef(by_half.values[0, concept], by_half.values[1, concept])[0, 1]
        np.testing.assert_allclose(found[concept], expected)


def test_a_concept_without_votes_in_a_half_has_no_split_half_correlation():
    by_half = vectors(("half", 2))
    by_half[1, 2] = np.nan
    missing = np.isnan(split_half_correlation(by_half))
    assert missing.values.tolist() == [False, False, True, False]


def test_heads_for_half_counts_the_fewest_heads():
    hrv = xr.DataArray(
        [[5.0, 1, 1, 1], [2, 2, 2, 2], [0, 3, 2, 3]],
        dims=("concept", "head_position"),
        coords={"concept": list("abc")},
    )
    assert heads_for_half(hrv).values.tolist() == [1, 2, 2]


def test_block_shares_are_shares_of_relevance():
    block = np.array(["down", "mid", "up"] * 3)
    hrv = vectors().assign_coords(block=("head_position", block))
    shares = block_shares(hrv)
    np.testing.assert_allclose(shares.sum("block"), 1)
    mid = hrv.values[:, 1::3].sum(1) / hrv.values.sum(1)
    np.testing.assert_allclose(shares.sel(block="mid"), mid)


def test_concepts_are_recognized_at_single_calls_if_calls_agree():
    steady = vectors() + 0.05 * vectors(("timestep", 9))
    assert nearest_centroid(steady) == 1
    assert nearest_centroid(vectors(("timestep", 9))) < 0.6
    assert nearest_centroid(steady.where(steady["concept"] != "a")) == pytest.approx(3 / 4)


def test_structure_is_shared_whatever_the_heads_and_the_order_of_concepts():
    hrv = vectors()
    doubled = xr.concat([hrv[::-1, ::-1]] * 2, "head_position")
    assert shared_structure(hrv, doubled) == pytest.approx(1)
    assert shared_structure(hrv, vectors()) < 0.95
