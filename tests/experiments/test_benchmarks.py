import pytest

from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError
from hrvlab.experiments.benchmarks import (
    read_editing,
    read_polysemy,
    read_weakening,
    some_of_each,
    weakening_prompts,
)


@pytest.mark.parametrize("name", ["miniature", "published", "published-unseen"])
def test_shipped_benchmarks_are_about_shipped_concepts(name):
    concepts = ConceptSet.read(name.removesuffix("-unseen"))
    assert set(read_weakening(name).concepts) <= set(concepts.names)


@pytest.mark.parametrize(
    "name", ["miniature", "published", "published-unseen", "published-tableware"]
)
def test_every_prompt_says_the_word_it_is_scored_against(name):
    benchmark = read_weakening(name)
    for concept in benchmark.concepts:
        prompts, texts = weakening_prompts(benchmark, concept)
        assert all(text in prompt for prompt, text in zip(prompts, texts, strict=True))
        assert len(set(prompts)) == len(prompts)


def test_the_miniature_s_prompts_use_words_of_their_concept():
    benchmark, concepts = read_weakening("miniature"), ConceptSet.read("miniature").to_dict()
    for concept, entry in benchmark.concepts.items():
        assert set(entry.words) <= set(concepts[concept])


@pytest.mark.parametrize("name", ["miniature", "published"])
def test_words_to_choose_settings_on_and_words_to_test_on_do_not_meet(name):
    benchmark = read_weakening(name)
    for concept in benchmark.concepts:
        whole, _ = weakening_prompts(benchmark, concept)
        test, words = weakening_prompts(benchmark, concept, split="test")
        assert set(test) <= set(whole)
        if name == "miniature":
            dev, other_words = weakening_prompts(benchmark, concept, split="dev")
            assert len(test) >= 8
            assert not set(words) & set(other_words)
            assert sorted(test + dev) == sorted(whole)
    assert benchmark.seeds["dev"] >= benchmark.seeds["test"] + 100


def test_without_words_to_choose_on_there_are_no_such_prompts():
    with pytest.raises(ParameterError, match="'Color' has no prompts for dev"):
        weakening_prompts(read_weakening("published"), "Color", split="dev")


def test_fewer_prompts_are_spread_over_all():
    benchmark = read_weakening("miniature")
    prompts, _ = weakening_prompts(benchmark, "Color", 5)
    whole, _ = weakening_prompts(benchmark, "Color")
    assert prompts == whole[::9]


@pytest.mark.parametrize(("concept", "count"), [("Hue", None), ("Color", 99), ("Color", 0)])
def test_what_is_not_there_is_refused(concept, count):
    with pytest.raises(ParameterError, match="has no concept|has 1 to 45 prompts"):
        weakening_prompts(read_weakening("miniature"), concept, count)


@pytest.mark.parametrize("content", ["concepts: {Color: {words: [red]}}", "a: [", "[]"])
def test_a_file_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "b.yaml").write_text(content)
    with pytest.raises(ParameterError, match="is not a weakening benchmark"):
        read_weakening(tmp_path / "b.yaml")


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(ParameterError, match="no benchmark 'mini'"):
        read_weakening("mini")


def test_unseen_words_differ_from_those_the_concept_was_built_from():
    seen = ConceptSet.read("published").to_dict()
    for concept, entry in read_weakening("published-unseen").concepts.items():
        singular = {word.lower() for word in seen[concept]}
        common = [word for word in entry.words if word in singular or word[:-1] in singular]
        assert not common
        assert len(entry.words) == 10


def test_the_published_replacements_are_225_of_five_concepts():
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


def test_every_published_replacement_replaces_one_word():
    for case in read_editing("published").cases:
        old, new = case.source.split(), case.target.split()
        (changed,) = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        assert changed[1] == case.wanted
        assert case.noun in old


def test_templates_and_single_cases_go_together(tmp_path):
    (tmp_path / "b.yaml").write_text(
        'concepts: {Color: {template: "a {word} {noun}", pairs: [red>blue], nouns: [car, cat]}}\n'
        "cases: [{source: a, target: b, noun: a, thing: a, wanted: b, concept: Color}]"
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
def test_replacements_of_another_form_are_refused(tmp_path, content):
    (tmp_path / "b.yaml").write_text(content)
    with pytest.raises(ParameterError, match="not a editing benchmark"):
        read_editing(tmp_path / "b.yaml")


def test_a_split_is_read_by_itself(tmp_path):
    case = "{source: a, target: b, noun: a, thing: a, wanted: b, concept: Color, split: dev}"
    (tmp_path / "b.yaml").write_text(f"cases: [{case}]")
    assert len(read_editing(tmp_path / "b.yaml", "dev").cases) == 1
    with pytest.raises(ParameterError, match="no case of the split 'test'"):
        read_editing(tmp_path / "b.yaml", "test")
    (tmp_path / "b.yaml").write_text(f"cases: [{case.replace('dev', 'train')}]")
    with pytest.raises(ParameterError, match="is not a editing benchmark"):
        read_editing(tmp_path / "b.yaml")


@pytest.mark.parametrize("case", read_polysemy("published").cases, ids=lambda case: case.prompt)
def test_the_published_cases_are_about_the_published_concepts(case):
    assert case.word in case.prompt.split()
    assert case.prompt != case.reworded
    assert len({case.wanted, case.unwanted}) == 2
    assert {case.toward, case.away} <= set(ConceptSet.read("published").names)
    assert "SNU-DRL/HRV" in case.source or case.source == "a proposal of hrvlab"


def test_the_first_of_every_concept_are_taken():
    cases = read_editing("miniature", "test").cases
    some = some_of_each(cases, 2)
    assert [case.concept for case in some[::2]] == list(dict.fromkeys(c.concept for c in cases))
    assert len(some) == 10
    assert set(map(str, some)) <= set(map(str, cases))
