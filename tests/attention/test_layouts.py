import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrvlab.attention.layouts import assign_rows, choose_rows, in_order
from hrvlab.attention.texts import Reading, match_rows
from hrvlab.errors import ParameterError


def one_hot(prompts, count):
    """Mark each row's prompt; −1: another text."""
    return np.array(prompts)[:, None] == np.arange(count)


layouts = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 4), st.booleans())


@given(layouts)
def test_adjacent_rows_of_prompts_are_found_wherever_other_texts_stand(layout):
    count, copies, others, first = layout
    own = np.repeat(np.arange(count), copies).tolist()
    rows = [-1] * others + own if first else own + [-1] * others
    matched = one_hot(rows, count)
    guided = others == len(own)
    found = choose_rows(matched, guided=guided)
    start = others if first else 0
    assert found == slice(start, start + len(own))
    assert assign_rows(matched[found]) == in_order(matched[found]) == tuple(own)


@given(st.permutations(range(4)), st.integers(1, 3))
def test_prompts_in_another_order_are_assigned_by_contents(order, copies):
    rows = np.repeat(order, copies).tolist()
    assert assign_rows(one_hot(rows, 4)) == tuple(rows)
    assert (in_order(one_hot(rows, 4)) is None) == (list(order) != [0, 1, 2, 3])


@given(st.lists(st.integers(-1, 2), min_size=1, max_size=8), st.booleans())
def test_every_row_that_is_chosen_is_a_prompts_and_none_is_left_out(rows, guided):
    matched = one_hot(rows, 3)
    try:
        found = choose_rows(matched, guided=guided)
    except ParameterError:
        return
    chosen = np.zeros(len(rows), bool)
    chosen[found or slice(0, 0)] = True
    np.testing.assert_array_equal(chosen, np.array(rows) >= 0)


def test_rows_that_are_not_adjacent_are_refused():
    with pytest.raises(ParameterError, match=r"rows \[0, 2\] .* side by side"):
        choose_rows(one_hot([0, -1, 0], 1), guided=False)


def test_two_halves_of_prompts_with_equal_latents_are_refused():
    matched = one_hot([0, 1, 0, 1], 2)
    with pytest.raises(ParameterError, match="give another negative prompt, or other latents"):
        choose_rows(matched, guided=True)
    assert choose_rows(matched, guided=False) == slice(0, 4)
    # Each prompt stands in one half alone, so that neither is the negative of the other.
    assert choose_rows(one_hot([0, 1], 2), guided=True) == slice(0, 2)


def test_a_prompt_with_more_rows_than_another_is_refused():
    with pytest.raises(ParameterError, match=r"those of prompts \[0, 1, 1\]"):
        assign_rows(one_hot([0, 1, 1], 2))


def test_equal_prompts_are_assigned_in_order():
    matched = np.ones((4, 2), bool)
    assert assign_rows(matched) == in_order(matched) == (0, 0, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rows_match_the_states_of_any_layer_of_joined_encoders_in_their_own_type(dtype):
    torch.manual_seed(0)
    first, second = ([torch.randn(3, 5, width) for _ in range(2)] for width in (4, 6))
    text = [Reading(None, first), Reading(None, second)]
    joined = torch.cat([first[0], second[1]], dim=-1).to(dtype)
    rows = torch.cat([joined[[2, 0]], torch.randn(1, 5, 10).to(dtype)])
    found = match_rows(rows, [text]).tolist()
    assert found == [[False, False, True], [True, False, False], [False] * 3]


def test_states_that_were_encoded_again_match_but_for_rounding():
    states = torch.randn(2, 5, 4)
    text = [Reading(None, [states + 1e-3], tolerance=0.01)]
    assert match_rows(states, [text]).tolist() == [[True, False], [False, True]]
    assert not match_rows(states, [[Reading(None, [states + 1e-3])]]).any()


def test_states_of_another_shape_match_nothing():
    text = [Reading(None, [torch.zeros(2, 5, 4)])]
    assert not match_rows(torch.zeros(3, 10, 4), [text]).any()
    assert match_rows(torch.zeros(3, 5, 8), []).shape == (3, 0)
