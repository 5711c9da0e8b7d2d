import pytest

from hrvlab.errors import ConceptError
from hrvlab.inputs.concepts import ConceptSet


def read(tmp_path, text):
    path = tmp_path / "set.yaml"
    path.write_text(text)
    return ConceptSet.read(path)


def test_a_set_survives_the_disk_in_order(tmp_path):
    concepts = ConceptSet.from_dict({"Z": ["b", "a"], "A": ["McDonald's", "one"]})
    concepts.write(tmp_path / "set.yaml")
    assert ConceptSet.read(tmp_path / "set.yaml") == concepts


def test_the_published_set_has_34_concepts_of_10_words():
    concepts = ConceptSet.read("published")
    assert len(concepts.names) == 34
    assert {len(words) for words in concepts.words} == {10}
    assert concepts.names[0] == "Animals"
    assert concepts.names[-1] == "Geometric Patterns"


def test_the_miniatures_set_is_shipped():
    concepts = ConceptSet.read("miniature")
    assert len(concepts.names) >= 16
    assert min(len(words) for words in concepts.words) >= 4


def test_an_unknown_name_lists_the_shipped_sets():
    with pytest.raises(
        ConceptError, match="no concepts 'publisched'; give .* one of: miniature, published"
    ):
        ConceptSet.read("publisched")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concepts: {}", "empty"),
        ("concepts: {Color: []}", "'Color' has no words"),
        ("concepts: {Color: red}", "must have a list of words"),
        ("concepts: {Counting: [1, 2]}", "put quotes around numbers"),
        ("concepts: {Answer: [yes]}", "put quotes around numbers, yes and no"),
        ("concepts: {'': [red]}", "a concept is named ''; give each a name with letters"),
        ("concepts: {Color: [red, red]}", "red more than once"),
        ("concepts: {Color: [red], Color: [blue]}", "Color is given more than once"),
        ("concepts: {1: [red], '1': [blue]}", "1 is given more than once"),
        ("Color: [red]", "needs a mapping 'concepts'"),
        ("concepts: [", "not valid YAML"),
    ],
)
def test_an_invalid_set_is_refused_with_the_remedy(tmp_path, text, message):
    with pytest.raises(ConceptError, match=message):
        read(tmp_path, text)


def test_a_name_of_two_concepts_is_refused():
    with pytest.raises(ConceptError, match="Color is given more than once"):
        ConceptSet(("Color", "Color"), (("red",), ("blue",)))
