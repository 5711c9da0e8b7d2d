import numpy as np
import xarray as xr

from hrvlab.figures import arm_matrix, arm_rates, trade_off


def test_every_arm_has_its_rate_and_interval():
    arms = ["plain", "adjusting"]
    rates = xr.Dataset(
        {"mean": ("arm", [0.6, 0.3]), "low": ("arm", [0.5, 0.1]), "high": ("arm", [0.8, 0.35])},
        {"arm": arms},
    )
    figure = arm_rates(rates, subject="adjusting", title="t", axis="misread")
    (dots,) = figure.data
    assert list(dots.y) == arms
    np.testing.assert_allclose(dots.x, [0.6, 0.3])
    np.testing.assert_allclose(dots.error_x.array, [0.2, 0.05])
    np.testing.assert_allclose(dots.error_x.arrayminus, [0.1, 0.2])
    (line,) = figure.layout.shapes
    assert line.x0 == line.x1 == 0.3


def test_every_case_has_a_row_and_its_text_is_not_markup():
    rates = xr.DataArray(
        [[0.0, 0.5], [1.0, 0.25], [0.1, 0.2]],
        {"arm": ["a", "b", "c"], "prompt_text": ("prompt", ["<b>x</b>", "a bat"])},
        ("arm", "prompt"),
    )
    figure = arm_matrix(rates, title="t")
    (cells,) = figure.data
    np.testing.assert_array_equal(cells.z, rates.values.T)
    assert list(cells.x) == ["a", "b", "c"]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b>x&lt;/b>", "a bat"]


def test_every_arm_is_one_point_with_two_intervals():
    def summary(mean):
        values = xr.DataArray(mean, {"arm": ["plain", "P2P"]}, "arm")
        return xr.Dataset({"mean": values, "low": values - 0.1, "high": values + 0.2})

    figure = trade_off(
        summary([0.8, 0.7]), summary([0.5, 0.6]), title="t", axes=("moved", "reached")
    )
    assert [trace.name for trace in figure.data] == ["plain", "P2P"]
    assert [(trace.x[0], trace.y[0]) for trace in figure.data] == [(0.8, 0.5), (0.7, 0.6)]
    for trace in figure.data:
        for bars in (trace.error_x, trace.error_y):
            np.testing.assert_allclose([bars.array[0], bars.arrayminus[0]], [0.2, 0.1])
