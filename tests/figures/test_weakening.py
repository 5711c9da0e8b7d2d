import numpy as np
import pytest
import xarray as xr

from hrvlab.figures import area_gaps, causal_agreement, weakening_curves


def summary(dims, coords):
    mean = xr.DataArray(
        np.random.default_rng(0).normal(size=[len(coords[dim]) for dim in dims]), coords, dims
    )
    return xr.Dataset({"mean": mean, "low": mean - 0.1, "high": mean + 0.2})


def test_every_order_has_a_curve_inside_its_band():
    coords = {"kind": ["MoRHF", "LeRHF"], "weakened": [0, 4, 8]}
    data = summary(("kind", "weakened"), coords).assign_coords(share=("weakened", [0, 0.5, 1]))
    traces = weakening_curves(data, "Color").data
    for number, kind in enumerate(("MoRHF", "LeRHF")):
        band, curve = traces[2 * number : 2 * number + 2]
        np.testing.assert_array_equal(curve.y, data["mean"].sel(kind=kind))
        np.testing.assert_array_equal(curve.x, [0, 0.5, 1])
        assert (np.array(band.y[:3]) > curve.y).all()
        assert (np.array(band.y[:2:-1]) < curve.y).all()


def test_every_concept_has_its_gap_and_interval():
    coords = {"concept": ["Color", "Animals"], "kind": ["LeRHF", "random"]}
    data = summary(("concept", "kind"), coords)
    for trace, kind in zip(area_gaps(data).data, coords["kind"], strict=True):
        assert list(trace.y) == coords["concept"]
        np.testing.assert_array_equal(trace.x, data["mean"].sel(kind=kind))
        assert trace.error_x.array == pytest.approx([0.2, 0.2])
        assert trace.error_x.arrayminus == pytest.approx([0.1, 0.1])


def test_every_vector_has_its_agreement_beside_the_ceiling():
    coords = {"concept": ["Color", "Animals"], "vector": ["HRV", "random"]}
    data = summary(("concept", "vector"), coords).rename(mean="correlation")
    *dots, ceiling = causal_agreement(data.assign(ceiling=("concept", [0.9, 0.5]))).data
    assert [trace.name for trace in dots] == coords["vector"]
    for trace, vector in zip(dots, coords["vector"], strict=True):
        np.testing.assert_array_equal(trace.x, data["correlation"].sel(vector=vector))
    assert list(ceiling.x) == [0.9, 0.5]
