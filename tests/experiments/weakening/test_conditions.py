import numpy as np
import pytest
import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.experiments.weakening.conditions import check_cuts, make_orders, weakened_factors
from tests.experiments.weakening.test_trial import vectors


def test_orders_are_most_relevant_first_its_reverse_and_random(tiny_pipe):
    row = vectors(tiny_pipe).sel(concept="Color")
    orders = make_orders(row, ["MoRHF", "LeRHF", "random"], draws=3, seed=0)
    assert list(orders) == ["MoRHF", "LeRHF", "random 0", "random 1", "random 2"]
    assert (np.diff(row.values[orders["MoRHF"]]) <= 0).all()
    np.testing.assert_array_equal(orders["LeRHF"], orders["MoRHF"][::-1])
    for order in orders.values():
        assert sorted(order) == list(range(row.size))
    assert (orders["random 0"] != orders["random 1"]).any()


def test_a_random_order_depends_on_its_own_number_alone(tiny_pipe):
    row = vectors(tiny_pipe).sel(concept="Color")
    few, many = (make_orders(row, ["random"], draws=draws, seed=3) for draws in (1, 4))
    np.testing.assert_array_equal(few["random 0"], many["random 0"])


def test_equally_relevant_heads_are_ordered_by_position(tiny_pipe):
    row = xr.zeros_like(vectors(tiny_pipe).sel(concept="Color"))
    orders = make_orders(row, ["MoRHF"], draws=0, seed=0)
    np.testing.assert_array_equal(orders["MoRHF"], np.arange(row.size))


def test_no_two_settings_are_the_same_and_all_orders_share_the_first_and_last():
    orders = [np.array([2, 0, 1]), np.array([1, 0, 2]), np.array([2, 1, 0])]
    settings, index = weakened_factors(orders, [0, 1, 2, 3], -2.0)
    assert len(np.unique(settings, axis=0)) == len(settings)
    assert len(set(index[:, 0])) == len(set(index[:, -1])) == 1
    assert index[0, 1] == index[2, 1]  # both begin with the same head
    np.testing.assert_array_equal(settings[index[1, 2]], [-2, -2, 1])


@pytest.mark.parametrize(
    ("cuts", "complete"),
    [(None, [0, 1, 2, 3, 4, 5, 6, 7, 8]), ([], [0, 8]), ([3], [0, 3, 8]), ([8, 3, 3], [0, 3, 8])],
)
def test_cuts_always_include_no_head_and_all_heads(cuts, complete):
    assert check_cuts(cuts, 8) == complete


def test_a_cut_beyond_the_heads_of_the_model_is_refused():
    with pytest.raises(ParameterError, match=r"the cuts \[-1, 9\] are not between 0 and 8 heads"):
        check_cuts([-1, 3, 9], 8)
