import pytest

from hrvlab.figures import rates

ROWS = [
    {"question": "color", "pictures": "drawn", "correct": 9, "of": 10, "low": 0.6, "high": 0.98},
    {"question": "color", "pictures": "generated", "correct": 4, "of": 8, "low": 0.2, "high": 0.8},
]


def test_rates_stand_within_their_intervals():
    for trace, row in zip(rates(ROWS).data, ROWS, strict=True):
        (rate,) = trace.x
        assert rate == row["correct"] / row["of"]
        assert rate + trace.error_x.array[0] == pytest.approx(row["high"])
        assert rate - trace.error_x.arrayminus[0] == pytest.approx(row["low"])
