import pytest

from hrvlab.errors import ParameterError
from hrvlab.results.registry import STUDIES, find_study, select_studies


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_found_by_its_own_name(name):
    assert find_study(name).name == name


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_comes_after_those_that_it_needs(name):
    names = list(STUDIES)
    assert all(names.index(needed) < names.index(name) for needed in find_study(name).needs)


def test_studies_are_selected_in_the_order_in_which_they_need_each_other():
    assert select_studies(["editing", "votes"]) == ["votes", "editing"]
    assert select_studies() == list(STUDIES)


def test_an_unknown_study_is_refused_with_a_list_of_studies():
    message = "there is no study astrology; give some of: votes, disambiguation-tuning"
    with pytest.raises(ParameterError, match=message):
        select_studies(["votes", "astrology"])
    with pytest.raises(ParameterError, match=message):
        find_study("astrology")
