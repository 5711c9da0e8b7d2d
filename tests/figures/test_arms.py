import numpy as np
import xarray as xr

from hrvlab.figures import arm_matrix, arm_rates, setting_matrix, trade_off, word_positions


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


def test_witnesses_stand_beside_each_other():
    mean = xr.DataArray(
        [[0.6, 0.3], [0.5, 0.4]],
        {"witness": ["judge", "CLIP"], "arm": ["plain", "adjusting"]},
        ("witness", "arm"),
    )
    rates = xr.Dataset({"mean": mean, "low": mean - 0.1, "high": mean + 0.1})
    dots = arm_rates(rates, subject="adjusting", title="t", axis="misread")
    assert [trace.name for trace in dots.data] == ["judge", "CLIP"]
    assert [line.x0 for line in dots.layout.shapes] == [0.3, 0.4]
    moved = rates.isel(witness=0, drop=True)
    panels = trade_off(moved, rates, title="t", axes=("a", "b"), path=["plain", "adjusting"])
    assert [note.text for note in panels.layout.annotations] == ["judge", "CLIP"]
    lines = [trace for trace in panels.data if trace.mode == "lines"]
    np.testing.assert_allclose([line.y for line in lines], mean)
    np.testing.assert_allclose([line.x for line in lines], mean[[0, 0]])


def test_settings_have_a_row_each():
    rates = xr.DataArray(
        [[0.0, 0.5], [1.0, 0.25], [0.1, 0.2]],
        {"arm": ["a", "b", "c"], "case": ["<rose>", "all"]},
        ("arm", "case"),
    )
    (cells,) = setting_matrix(rates, title="t").data
    np.testing.assert_array_equal(cells.z, rates.values)
    assert list(cells.x) == ["&lt;rose>", "all"]


def test_words_lie_where_their_states_have_them():
    positions = xr.DataArray([[0.5], [-1.0]], dims=("state", "prompt"))
    found = xr.Dataset(
        {"position": positions, "accuracy": abs(positions)},
        {
            "state": ["word", "end"],
            "prompt_text": ("prompt", ["a <bat>"]),
            "wanted": ("prompt", ["cricket bat"]),
        },
    )
    figure = word_positions(found, title="t")
    assert [trace.x[0] for trace in figure.data] == [0.5, -1.0]
    assert figure.data[0].y[0] == "a &lt;bat>: cricket bat"
