from types import SimpleNamespace

import pytest

from hrvlab.errors import ParameterError
from hrvlab.experiments.weakening.cases import WeakeningCases
from hrvlab.inputs.cases import read_cases, select_split


def read(source):
    return read_cases("weakening", WeakeningCases, source)


def test_shipped_cases_are_read_by_their_name():
    assert "Color" in read("miniature").concepts


def test_a_file_is_read_by_its_path(tmp_path):
    content = "concepts: {Color: {template: a, words: [red]}}"
    (tmp_path / "own.yaml").write_text(f"\ufeff{content}", encoding="utf-8")
    assert read(tmp_path / "own.yaml").concepts["Color"].words == ["red"]


@pytest.mark.parametrize("content", ["concepts: {Color: {words: [red]}}", "a: [", "[]"])
def test_a_file_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(ParameterError, match=r"own\.yaml does not hold .*weakening") as error:
        read(tmp_path / "own.yaml")
    assert "\n" not in str(error.value)


def test_unknown_cases_are_refused_with_the_known_names():
    with pytest.raises(
        ParameterError, match="no cases 'mini'; give .*: miniature, published, published-tableware"
    ):
        read("mini")


def test_the_cases_of_one_split_are_selected():
    cases = [SimpleNamespace(split="dev"), SimpleNamespace(split="test")]
    assert select_split(cases, "dev") == cases[:1]
    assert select_split(cases, None) == cases


def test_an_empty_split_is_refused_with_the_splits_that_have_cases():
    cases = [SimpleNamespace(split="dev")]
    with pytest.raises(ParameterError, match="no case of the split 'test'; there are .*: dev"):
        select_split(cases, "test")
