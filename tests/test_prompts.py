import pytest

from hrvlab.errors import ParameterError
from hrvlab.prompts import read_prompts


def test_the_shipped_list_is_found_by_name():
    assert len(read_prompts("miniature")) == 512


def test_a_text_file_has_one_prompt_a_line(tmp_path):
    (tmp_path / "p.txt").write_text("\ufeffa red car\n\n  a cat \n", encoding="utf-8")
    assert read_prompts(tmp_path / "p.txt") == ["a red car", "a cat"]


def test_a_yaml_file_has_a_list_of_prompts(tmp_path):
    (tmp_path / "p.yaml").write_text("prompts: [a red car, a cat]")
    assert read_prompts(tmp_path / "p.yaml") == ["a red car", "a cat"]


@pytest.mark.parametrize("content", ["[a, b]", "prompts: a", "prompts: [1]"])
def test_yaml_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "p.yml").write_text(content)
    with pytest.raises(ParameterError, match="must hold a list 'prompts'"):
        read_prompts(tmp_path / "p.yml")


def test_an_unknown_list_is_refused_with_the_shipped_ones():
    with pytest.raises(ParameterError, match="no list of prompts 'mini'.*shipped lists: miniature"):
        read_prompts("mini")
