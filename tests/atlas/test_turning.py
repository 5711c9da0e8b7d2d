import numpy as np
import pytest

from hrvlab.atlas import Turn
from hrvlab.errors import ParameterError

NAMES = ["down.0.0", "down.0.1", "up.0.0"]


@pytest.mark.parametrize(
    "turn",
    [
        Turn(("up.7.7",), -2.0),
        Turn(("up.7.7", "up.7.3"), 0.5, ("red", "car"), (0, 10)),
        Turn(("cross.11.0",), 3.0, "content", (5, None)),
    ],
)
def test_a_turn_survives_the_way_to_a_line_and_back(turn):
    assert Turn.parse(str(turn)) == turn


@pytest.mark.parametrize(
    "line", ["", "up.7.7", "up.7.7 × ", "up.7.7 × nan", "× 2", "a × 1, calls x"]
)
def test_a_line_of_another_form_is_refused(line):
    with pytest.raises(ParameterError, match="write it as in"):
        Turn.parse(line)


def test_the_edit_changes_the_named_heads_alone():
    edit = Turn(("down.0.1", "up.0.0"), -2.0, ("red",), (1, 3)).edit(NAMES)
    np.testing.assert_array_equal(edit.factors, [1, -2, -2])
    assert edit.words == ["red"] and edit.window == (1, 3)


def test_a_head_that_the_model_lacks_is_refused():
    with pytest.raises(ParameterError, match="no head 'up.9.9'"):
        Turn(("up.9.9",), 0.0).edit(NAMES)
