import pytest

from hrvlab.errors import ParameterError
from hrvlab.methods.excitation import PRESETS, Excitation, attended_layers


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_the_published_numbers(name):
    preset = PRESETS[name]
    assert preset.thresholds == {0.0: 0.05, 0.2: 0.5, 0.4: 0.8}
    assert [round(share * 50) for share in preset.thresholds] == [0, 10, 20]
    assert (round(preset.until * 50), preset.refinements, preset.step_size) == (25, 20, 20)
    grid, columns = round(64 * preset.side), 77 - 1 - preset.leave_out_last
    published = {
        "published-hrv": (8, "all", 76),
        "published-baseline": (16, "side", 76),
        "attend-and-excite": (16, "side", 75),
    }
    assert (grid, preset.layers, columns) == published[name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 0.0}, "side is 0.0"),
        ({"side": 2.0}, "side is 2.0"),
        ({"layers": "some"}, "give 'all' or 'side'"),
        ({"until": 1.5}, "until is 1.5"),
        ({"thresholds": {0.6: 0.5}}, "shares of the steps below 0.5"),
        ({"thresholds": {0.0: 1.5}}, "attention from 0 to 1"),
        ({"refinements": 0}, "refinements is 0"),
        ({"step_size": float("nan")}, "step_size is nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        Excitation(**settings)


def test_a_side_that_no_layer_s_grid_has_is_refused(tiny_pipe):
    with pytest.raises(
        ParameterError, match="no layer's grid has 0.125 .* choose one of: 1/1, 1/2"
    ):
        attended_layers(tiny_pipe, Excitation(side=1 / 8, layers="side"))
    assert len(attended_layers(tiny_pipe, Excitation(side=1 / 8))) == 4
