import pytest

from hrvlab.figures import loss_curves, rates

ROWS = [
    {"question": "color", "images": "rendered", "correct": 9, "of": 10, "low": 0.6, "high": 0.98},
    {"question": "color", "images": "generated", "correct": 4, "of": 8, "low": 0.2, "high": 0.8},
]


def test_rates_are_shown_with_their_intervals():
    for trace, row in zip(rates(ROWS, title="x").data, ROWS, strict=True):
        (rate,) = trace.x
        assert rate == row["correct"] / row["of"]
        assert rate + trace.error_x.array[0] == pytest.approx(row["high"])
        assert rate - trace.error_x.arrayminus[0] == pytest.approx(row["low"])


def test_images_of_a_single_kind_have_one_trace():
    (trace,) = rates(ROWS[:1], title="x").data
    assert trace.name == "rendered"


def test_every_stage_has_a_curve():
    losses = {
        "clip": {"step": [50, 100], "loss": [2.0, 1.0]},
        "denoiser": {"step": [50], "loss": [0.5]},
    }
    for trace, curve in zip(loss_curves(losses).data, losses.values(), strict=True):
        assert list(trace.x) == curve["step"]
        assert list(trace.y) == curve["loss"]
