import pytest

from hrvlab.errors import ParameterError
from hrvlab.results.make import read_result, result_for
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


@pytest.mark.parametrize(("old", "new"), [("effects", "head-effects"), ("ballots", "voting-rules")])
def test_a_result_of_no_study_is_refused_by_name_and_an_old_name_leads_to_the_new_one(old, new):
    with pytest.raises(ParameterError, match=f"no study {old}; .*; {old} is now called {new}"):
        read_result(old)


@pytest.mark.parametrize("name", ["astrology", "polysemy", "", ".", "..", "Votes"])
def test_no_result_is_looked_for_under_a_name_of_no_study(tiny_pipe, name):
    with pytest.raises(ParameterError, match="there is no study"):
        result_for(tiny_pipe, name)
