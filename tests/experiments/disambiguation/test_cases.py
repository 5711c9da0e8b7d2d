import pytest

from hrvlab.experiments.disambiguation.cases import read_disambiguation
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.miniature.world import COLORS, OBJECT_BY_NAME, concept_words


def test_no_word_is_in_both_splits():
    words = {
        split: {case.word for case in read_disambiguation("miniature", split).cases}
        for split in ("dev", "test")
    }
    assert not words["dev"] & words["test"]
    assert len(read_disambiguation("miniature", "test").cases) >= 8


@pytest.mark.parametrize(
    "case", read_disambiguation("miniature").cases, ids=lambda case: case.prompt
)
def test_the_shipped_cases_are_about_the_miniature_s_world(case):
    def concept(sense):
        if sense == f"{case.word}-colored":
            assert case.word in COLORS
            return "Color"
        assert OBJECT_BY_NAME[sense].word == case.word
        return OBJECT_BY_NAME[sense].category

    assert case.wanted != case.unwanted
    assert concept(case.wanted) in (case.toward, "Food", "Sports", "Tools")
    assert concept(case.unwanted) == case.away
    assert case.word in case.prompt.split()
    assert case.wanted in case.reworded
    assert {case.toward, case.away} <= concept_words().keys()


@pytest.mark.parametrize(
    "case", read_disambiguation("published").cases, ids=lambda case: case.prompt
)
def test_the_published_cases_are_about_the_published_concepts(case):
    assert case.word in case.prompt.split()
    assert case.prompt != case.reworded
    assert len({case.wanted, case.unwanted}) == 2
    assert {case.toward, case.away} <= set(ConceptSet.read("published").names)
    assert "SNU-DRL/HRV" in case.source or case.source == "a proposal of hrvlab"
