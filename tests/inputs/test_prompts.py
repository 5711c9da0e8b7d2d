import pytest

from hrvlab.errors import ParameterError
from hrvlab.inputs.prompts import check_prompts, read_prompts


def test_the_shipped_list_is_found_by_name():
    assert len(read_prompts("miniature")) == 512


def test_a_text_file_has_one_prompt_per_line(tmp_path):
    (tmp_path / "p.txt").write_text("\ufeffa red car\n\n  a cat \n", encoding="utf-8")
    assert read_prompts(tmp_path / "p.txt") == ["a red car", "a cat"]


def test_a_yaml_file_has_a_list_of_prompts(tmp_path):
    (tmp_path / "p.yaml").write_text("prompts: [a red car, a cat]")
    assert read_prompts(tmp_path / "p.yaml") == ["a red car", "a cat"]


@pytest.mark.parametrize("content", ["[a, b]", "prompts: a", "prompts: [1]"])
def test_yaml_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "p.yml").write_text(content)
    with pytest.raises(ParameterError, match="must contain a list 'prompts'"):
        read_prompts(tmp_path / "p.yml")


def test_an_unknown_list_is_refused_with_the_known_names():
    with pytest.raises(
        ParameterError, match="no prompts 'mini'; give .* one of: imagenet, miniature, verify"
    ):
        read_prompts("mini")


@pytest.fixture
def open_clip(tmp_path, monkeypatch):
    """Make a package of that name which cannot be imported, like open_clip without torchvision."""
    (tmp_path / "open_clip").mkdir()
    (tmp_path / "open_clip" / "__init__.py").write_text("import torchvision_is_not_here")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "open_clip" / "zero_shot_metadata.py"


def test_imagenet_s_classes_are_read_from_open_clip_without_importing_it(open_clip):
    open_clip.write_text("OTHER = ()\nIMAGENET_CLASSNAMES = ['tench', 'great white shark']\n")
    assert read_prompts("imagenet") == ["a photo of a tench.", "a photo of a great white shark."]


def test_an_open_clip_without_the_list_is_refused(open_clip):
    with pytest.raises(ParameterError, match="has no list IMAGENET_CLASSNAMES"):
        read_prompts("imagenet")


def test_without_open_clip_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("hrvlab.inputs.prompts.find_spec", lambda _: None)
    with pytest.raises(ParameterError, match="pip install --no-deps open_clip_torch"):
        read_prompts("imagenet")


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "the list of prompts is empty; give at least one"),
        (["a cat", " "], "prompt 1 is ' '; give a text with words"),
        ([3], "prompt 0 is 3; give a text with words"),
    ],
)
def test_prompts_without_words_are_refused(prompts, message):
    with pytest.raises(ParameterError, match=message):
        check_prompts(prompts)
