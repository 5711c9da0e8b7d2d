import numpy as np
import xarray as xr

from hrvlab.relevance.similarity import (
    concept_similarity,
    heads_for_half,
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
    halves = vectors(("half", 2))
    found = split_half_correlation(halves)
    for concept in range(4):
        expected = np.corrcoef(halves.values[0, concept], halves.values[1, concept])[0, 1]
        np.testing.assert_allclose(found[concept], expected)


def test_heads_for_half_counts_the_fewest_heads():
    hrv = xr.DataArray(
        [[5.0, 1, 1, 1], [2, 2, 2, 2], [0, 3, 2, 3]],
        dims=("concept", "head_position"),
        coords={"concept": list("abc")},
    )
    assert heads_for_half(hrv).values.tolist() == [1, 2, 2]
