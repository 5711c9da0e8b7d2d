import pytest

from hrvlab.errors import ConceptError, ParameterError
from hrvlab.inputs.sources import find_source
from hrvlab.paths import data_path


def test_a_shipped_file_is_found_by_its_name():
    assert find_source("concepts", "miniature") == data_path("concepts", "miniature.yaml")


def test_the_prefix_is_left_out_of_a_shipped_name():
    found = find_source("cases", "miniature", prefix="weakening-")
    assert found == data_path("cases", "weakening-miniature.yaml")


def test_a_file_of_the_user_s_own_is_found_by_its_path(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("")
    assert find_source("prompts", path) == find_source("prompts", str(path)) == path


def test_a_shipped_name_takes_precedence_over_a_path(tmp_path, monkeypatch):
    (tmp_path / "miniature").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_source("prompts", "miniature") == data_path("prompts", "miniature.yaml")


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ParameterError, match=f"there are no prompts '{tmp_path}'"):
        find_source("prompts", tmp_path)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(
        ParameterError, match="no prompts 'mini'; give .*: imagenet, miniature, ver"
    ):
        find_source("prompts", "mini", special=["imagenet"])
    with pytest.raises(ConceptError, match="there are no concepts 'mini'"):
        find_source("concepts", "mini", error=ConceptError)
