import pytest

from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError
from hrvlab.experiments.benchmarks import read_weakening, weakening_prompts


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
