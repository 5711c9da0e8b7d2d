import pytest

from hrvlab.errors import ParameterError
from hrvlab.experiments.editing.cases import read_editing, some_of_each
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.miniature import world


def test_the_published_cases_are_225_of_five_concepts():
    cases = read_editing("published").cases
    counts = {
        c: sum(case.concept == c for case in cases) for c in ConceptSet.read("published").names
    }
    assert {name: count for name, count in counts.items() if count} == {
        "Color": 50,
        "Image Style": 50,
        "Material": 50,
        "Weather Conditions": 25,
        "Geometric Patterns": 50,
    }
    assert len({(case.source, case.target) for case in cases}) == 225
    assert (cases[0].source, cases[0].target) == ("a blue car", "a brown car")


def test_every_published_case_replaces_one_word():
    for case in read_editing("published").cases:
        old, new = case.source.split(), case.target.split()
        (changed,) = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        assert changed[1] == case.wanted
        assert case.noun in old


def test_templates_and_single_cases_go_together(tmp_path):
    (tmp_path / "b.yaml").write_text(
        'concepts: {Color: {template: "a {word} {noun}", pairs: [red>blue], nouns: [car, cat]}}\n'
        "cases: [{source: a, target: b, noun: a, object: a, wanted: b, concept: Color}]"
    )
    assert [case.target for case in read_editing(tmp_path / "b.yaml").cases] == [
        "b",
        "a blue car",
        "a blue cat",
    ]


@pytest.mark.parametrize(
    "content",
    ["source: x", "concepts: {Color: {template: a, pairs: [red], nouns: [car]}}"],
)
def test_cases_of_another_form_are_refused(tmp_path, content):
    (tmp_path / "b.yaml").write_text(content)
    with pytest.raises(ParameterError, match="does not hold editing cases"):
        read_editing(tmp_path / "b.yaml")


def test_a_split_is_read_by_itself(tmp_path):
    case = "{source: a, target: b, noun: a, object: a, wanted: b, concept: Color, split: dev}"
    (tmp_path / "b.yaml").write_text(f"cases: [{case}]")
    assert len(read_editing(tmp_path / "b.yaml", "dev").cases) == 1
    with pytest.raises(
        ParameterError, match="no case of the split 'test'; there are cases of: dev"
    ):
        read_editing(tmp_path / "b.yaml", "test")
    (tmp_path / "b.yaml").write_text(f"cases: [{case.replace('dev', 'train')}]")
    with pytest.raises(ParameterError, match="does not hold editing cases"):
        read_editing(tmp_path / "b.yaml")


def test_the_first_of_every_concept_are_selected():
    cases = read_editing("miniature", "test").cases
    some = some_of_each(cases, 2)
    assert [case.concept for case in some[::2]] == list(dict.fromkeys(c.concept for c in cases))
    assert len(some) == 10
    assert set(map(str, some)) <= set(map(str, cases))


def test_no_replaced_pair_is_in_both_splits_and_every_attribute_has_cases_in_both():
    def pair(case):
        return frozenset(case.source.split()) ^ frozenset(case.target.split())

    dev, test = (read_editing("miniature", split).cases for split in ("dev", "test"))
    assert not {pair(case) for case in dev} & {pair(case) for case in test}
    for cases, least in ((dev, 2), (test, 3)):
        attributes = [case.concept for case in cases]
        assert len(set(attributes)) == 5
        assert min(attributes.count(one) for one in attributes) >= least


@pytest.mark.parametrize("case", read_editing("miniature").cases, ids=lambda case: case.target)
def test_the_shipped_cases_are_about_the_miniature_s_world(case):
    words = world.concept_words()
    assert case.wanted in words[case.concept]
    assert case.object in world.OBJECT_BY_NAME
    assert case.noun in case.source.split()
    old, new = (set(text.split()) for text in (case.source, case.target))
    (replaced,) = old - new
    assert new - old == {case.wanted}
    assert replaced in words[case.concept]
