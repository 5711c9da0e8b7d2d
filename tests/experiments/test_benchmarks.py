import pytest

from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError
from hrvlab.experiments.benchmarks import (
    read_editing,
    read_weakening,
    some_of_each,
    weakening_prompts,
)


@pytest.mark.parametrize("name", ["miniature", "published"])
def test_shipped_benchmarks_are_about_shipped_concepts(name):
    assert set(read_weakening(name).concepts) <= set(ConceptSet.read(name).names)


@pytest.mark.parametrize("name", ["miniature", "published"])
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


def test_a_split_is_read_by_itself(tmp_path):
    case = "{source: a, target: b, noun: a, thing: a, wanted: b, concept: Color, split: dev}"
    (tmp_path / "b.yaml").write_text(f"cases: [{case}]")
    assert len(read_editing(tmp_path / "b.yaml", "dev").cases) == 1
    with pytest.raises(ParameterError, match="no case of the split 'test'"):
        read_editing(tmp_path / "b.yaml", "test")
    (tmp_path / "b.yaml").write_text(f"cases: [{case.replace('dev', 'train')}]")
    with pytest.raises(ParameterError, match="is not a editing benchmark"):
        read_editing(tmp_path / "b.yaml")


def test_the_first_of_every_concept_are_taken():
    cases = read_editing("miniature", "test").cases
    some = some_of_each(cases, 2)
    assert [case.concept for case in some[::2]] == list(dict.fromkeys(c.concept for c in cases))
    assert len(some) == 10
    assert set(map(str, some)) <= set(map(str, cases))
