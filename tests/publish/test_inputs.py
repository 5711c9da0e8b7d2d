import pytest

from hrvlab.publish import inputs
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.inputs import hub_revisions, path_hash, run_hash
from tests.publish.chapters import checkout


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Stands for the shipped data, which take a second to read."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(inputs, "data_path", lambda: tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def chapter(tmp_path, data):
    return find_chapter(checkout(tmp_path), "story")


@pytest.fixture
def model(tmp_path):
    """A folder with a file in a folder, as models have."""
    (tmp_path / "model" / "unet").mkdir(parents=True)
    (tmp_path / "model" / "unet" / "weights").write_text("0")
    return tmp_path / "model"


def test_the_hash_depends_on_notebook_values_and_the_files_they_name(chapter, tmp_path):
    values = {"name": str(tmp_path / "words.txt"), "count": 2}
    seen = [run_hash(chapter, {**values, **more}, tmp_path) for more in ({}, {"count": 3})]
    for words in ("a", "b"):
        (tmp_path / "words.txt").write_text(words)
        seen.append(run_hash(chapter, values, tmp_path))
    chapter.cells[0]["source"] += "!"
    seen.append(run_hash(chapter, values, tmp_path))
    assert len(set(seen)) == 5


def test_the_hash_depends_on_every_data_file_even_of_equal_names(chapter, data, tmp_path):
    seen = set()
    for folder in ("a", "b"):
        (data / folder).mkdir()
        for content in ("old", "new"):
            (data / folder / "model").write_text(content)
            seen.add(run_hash(chapter, {}, tmp_path))
    assert len(seen) == 4


@pytest.mark.parametrize("shape", [str, lambda text: [text], lambda text: [{"models": (text,)}]])
def test_a_folder_that_is_named_counts_with_all_its_files(chapter, tmp_path, model, shape):
    seen = set()
    for change in (
        lambda: None,
        lambda: (model / "unet" / "weights").write_text("1"),
        lambda: (model / "unet" / "weights").rename(model / "unet" / "others"),
        lambda: (model / "more").touch(),
    ):
        change()
        seen.add(run_hash(chapter, {"name": shape("model")}, tmp_path))
    assert len(seen) == 4


def test_a_folder_in_the_home_folder_counts(chapter, tmp_path, model, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    before = run_hash(chapter, {"name": "~/model"}, tmp_path / "elsewhere")
    (model / "unet" / "weights").write_text("1")
    assert run_hash(chapter, {"name": "~/model"}, tmp_path / "elsewhere") != before


def test_what_a_chapter_writes_does_not_count(chapter, tmp_path, model):
    before = run_hash(chapter, {"store": "model", "exported": "model"}, tmp_path)
    (model / "unet" / "weights").write_text("1")
    assert run_hash(chapter, {"store": "model", "exported": "model"}, tmp_path) == before


def test_links_are_followed_and_may_lead_in_circles(tmp_path, model):
    (tmp_path / "link").symlink_to(model)
    (model / "back").symlink_to(model.parent)
    before = path_hash(tmp_path / "link")
    (model / "unet" / "weights").write_text("1")
    assert path_hash(tmp_path / "link") != before


def test_hidden_files_of_a_folder_do_not_count(model):
    before = path_hash(model)
    (model / ".cache").mkdir()
    (model / ".cache" / "x").touch()
    assert path_hash(model) == before


@pytest.mark.parametrize("text", ["a prompt " * 100, "\0", "~nobody/model", ""])
def test_any_text_may_be_a_parameter(chapter, tmp_path, text):
    assert run_hash(chapter, {"name": text}, tmp_path)


@pytest.mark.parametrize("name", ["torch", "plotly"])
def test_the_versions_of_libraries_count(chapter, tmp_path, monkeypatch, name):
    before = run_hash(chapter, {}, tmp_path)
    version = inputs.version
    monkeypatch.setattr(inputs, "version", lambda of: "0" if of == name else version(of))
    assert run_hash(chapter, {}, tmp_path) != before


def test_a_model_of_the_hub_counts_with_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    values = {"model": "owner/name", "prompt": "a red / blue car", "more": ["other/model"]}
    assert hub_revisions(values) == {}
    main = tmp_path / "models--owner--name" / "refs" / "main"
    main.parent.mkdir(parents=True)
    main.write_text("abc\n")
    assert hub_revisions(values) == {"owner/name": "abc"}
