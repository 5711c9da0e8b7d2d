import numpy as np
import pytest
import xarray as xr

from hrvlab.figures import area_gaps, causal_agreement, weakening_curves

CONCEPTS = ["Color", "Animals"]
EVALUATORS = ["judge", "CLIP"]
KINDS = ["LeRHF", "random"]


def summary(**coords):
    mean = xr.DataArray(
        np.random.default_rng(0).normal(size=[len(values) for values in coords.values()]), coords
    )
    return xr.Dataset({"mean": mean, "low": mean - 0.1, "high": mean + 0.2})


def test_every_order_of_every_concept_has_a_curve_within_its_band():
    data = summary(concept=CONCEPTS, kind=["MoRHF", "LeRHF"], weakened=[0, 4, 8])
    data = data.assign_coords(share=("weakened", [0, 0.5, 1]))
    traces = iter(weakening_curves(data, title="t").data)
    for concept in CONCEPTS:
        for kind in ("MoRHF", "LeRHF"):
            band, curve = next(traces), next(traces)
            np.testing.assert_array_equal(curve.y, data["mean"].sel(concept=concept, kind=kind))
            np.testing.assert_array_equal(curve.x, [0, 0.5, 1])
            assert (np.array(band.y[:3]) > curve.y).all()
            assert (np.array(band.y[:2:-1]) < curve.y).all()


@pytest.mark.parametrize(
    ("panels", "rows"),
    [
        ({"evaluator": EVALUATORS}, {"concept": CONCEPTS}),
        ({"concept": CONCEPTS}, {"variant": ["published", "factor 0"]}),
    ],
)
def test_every_gap_has_its_interval_in_its_panel(panels, rows):
    data = summary(**panels, **rows, kind=KINDS)
    ((panel, names),) = panels.items()
    figure = area_gaps(data, panel=panel, title="t")
    assert list(figure.layout.yaxis.ticktext) == next(iter(rows.values()))
    traces = iter(figure.data)
    for name in names:
        for kind in KINDS:
            trace = next(traces)
            assert list(trace.y) == [0, 1]
            np.testing.assert_array_equal(trace.x, data["mean"].sel({panel: name, "kind": kind}))
            assert trace.error_x.array == pytest.approx([0.2, 0.2])
            assert trace.error_x.arrayminus == pytest.approx([0.1, 0.1])


def test_every_vector_is_shown_with_the_reliability_ceiling():
    data = summary(evaluator=EVALUATORS, concept=CONCEPTS, vector=["HRV", "random"])
    ceiling = ("evaluator", "concept"), [[0.9, 0.5], [0.8, 0.4]]
    figure = causal_agreement(data.rename(mean="correlation").assign(ceiling=ceiling))
    *dots, first, second = figure.data
    for trace, (evaluator, vector) in zip(
        dots, [(e, v) for e in EVALUATORS for v in ("HRV", "random")], strict=True
    ):
        assert trace.name == vector
        np.testing.assert_array_equal(trace.x, data["mean"].sel(evaluator=evaluator, vector=vector))
    assert list(first.x) == [0.9, 0.5]
    assert list(second.x) == [0.8, 0.4]
