import numpy as np
import xarray as xr

from hrvlab.figures import (
    condition_matrix,
    condition_rates,
    setting_matrix,
    text_state_positions,
    trade_off,
)


def test_every_condition_has_its_rate_and_interval():
    conditions = ["plain", "adjusting"]
    rates = xr.Dataset(
        {
            "mean": ("condition", [0.6, 0.3]),
            "low": ("condition", [0.5, 0.1]),
            "high": ("condition", [0.8, 0.35]),
        },
        {"condition": conditions},
    )
    figure = condition_rates(rates, subject="adjusting", title="t", axis="misread")
    (dots,) = figure.data
    assert list(dots.y) == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == conditions
    np.testing.assert_allclose(dots.x, [0.6, 0.3])
    np.testing.assert_allclose(dots.error_x.array, [0.2, 0.05])
    np.testing.assert_allclose(dots.error_x.arrayminus, [0.1, 0.2])
    (line,) = figure.layout.shapes
    assert line.x0 == line.x1 == 0.3


def test_every_prompt_has_a_row_and_markup_in_its_text_is_escaped():
    rates = xr.DataArray(
        [[0.0, 0.5], [1.0, 0.25], [0.1, 0.2]],
        {"condition": ["a", "b", "c"], "prompt_text": ("prompt", ["<b>x</b>", "a bat"])},
        ("condition", "prompt"),
    )
    figure = condition_matrix(rates, title="t")
    (cells,) = figure.data
    np.testing.assert_array_equal(cells.z, rates.values.T)
    assert list(figure.layout.xaxis.ticktext) == ["a", "b", "c"]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b>x&lt;/b>", "a bat"]


def test_every_condition_is_one_point_with_two_intervals():
    def summary(mean):
        values = xr.DataArray(mean, {"condition": ["plain", "P2P"]}, "condition")
        return xr.Dataset({"mean": values, "low": values - 0.1, "high": values + 0.2})

    figure = trade_off(
        summary([0.8, 0.7]),
        summary([0.5, 0.6]),
        title="t",
        axes=("background change", "target score"),
    )
    assert [trace.name for trace in figure.data] == ["plain", "P2P"]
    assert [(trace.x[0], trace.y[0]) for trace in figure.data] == [(0.8, 0.5), (0.7, 0.6)]
    for trace in figure.data:
        for bars in (trace.error_x, trace.error_y):
            np.testing.assert_allclose([bars.array[0], bars.arrayminus[0]], [0.2, 0.1])


def test_every_evaluator_has_its_markers_and_its_panel():
    mean = xr.DataArray(
        [[0.6, 0.3], [0.5, 0.4]],
        {"evaluator": ["judge", "CLIP"], "condition": ["plain", "adjusting"]},
        ("evaluator", "condition"),
    )
    rates = xr.Dataset({"mean": mean, "low": mean - 0.1, "high": mean + 0.1})
    dots = condition_rates(rates, subject="adjusting", title="t", axis="misread")
    assert [trace.name for trace in dots.data] == ["judge", "CLIP"]
    assert [line.x0 for line in dots.layout.shapes] == [0.3, 0.4]
    change = rates.isel(evaluator=0, drop=True)
    panels = trade_off(change, rates, title="t", axes=("a", "b"), path=["plain", "adjusting"])
    assert [note.text for note in panels.layout.annotations] == ["judge", "CLIP"]
    lines = [trace for trace in panels.data if trace.mode == "lines"]
    np.testing.assert_allclose([line.y for line in lines], mean)
    np.testing.assert_allclose([line.x for line in lines], mean[[0, 0]])


def test_every_setting_has_a_row():
    rates = xr.DataArray(
        [[0.0, 0.5], [1.0, 0.25], [0.1, 0.2]],
        {"condition": ["a", "b", "c"], "case": ["<rose>", "all"]},
        ("condition", "case"),
    )
    figure = setting_matrix(rates, title="t")
    (cells,) = figure.data
    np.testing.assert_array_equal(cells.z, rates.values)
    assert list(figure.layout.xaxis.ticktext) == ["&lt;rose>", "all"]
    assert list(figure.layout.yaxis.ticktext) == ["a", "b", "c"]


def test_words_are_plotted_at_the_positions_of_their_text_states():
    positions = xr.DataArray([[0.5], [-1.0]], dims=("state", "prompt"))
    found = xr.Dataset(
        {"position": positions, "accuracy": abs(positions)},
        {
            "state": ["word", "end"],
            "prompt_text": ("prompt", ["a <bat>"]),
            "wanted": ("prompt", ["cricket bat"]),
        },
    )
    figure = text_state_positions(found, title="t")
    assert [trace.x[0] for trace in figure.data] == [0.5, -1.0]
    assert list(figure.layout.yaxis.ticktext) == ["a &lt;bat>: cricket bat"]
