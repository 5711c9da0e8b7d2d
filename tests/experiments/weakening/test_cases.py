import pytest

from hrvlab.errors import ParameterError
from hrvlab.experiments.weakening.cases import choose_cases, read_weakening, weakening_prompts
from hrvlab.inputs.concepts import ConceptSet


@pytest.mark.parametrize("name", ["miniature", "published", "published-unseen"])
def test_the_shipped_cases_are_about_shipped_concepts(name):
    concepts = ConceptSet.read(name.removesuffix("-unseen"))
    assert set(read_weakening(name).concepts) <= set(concepts.names)


@pytest.mark.parametrize(
    "name", ["miniature", "published", "published-unseen", "published-tableware"]
)
def test_every_prompt_contains_the_word_it_is_scored_against(name):
    cases = read_weakening(name)
    for concept in cases.concepts:
        prompts, texts = weakening_prompts(cases, concept)
        assert all(text in prompt for prompt, text in zip(prompts, texts, strict=True))
        assert len(set(prompts)) == len(prompts)


def test_the_miniature_s_prompts_use_words_of_their_concept():
    cases, concepts = read_weakening("miniature"), ConceptSet.read("miniature").to_dict()
    for concept, entry in cases.concepts.items():
        assert set(entry.words) <= set(concepts[concept])


@pytest.mark.parametrize("name", ["miniature", "published"])
def test_words_for_choosing_settings_and_words_for_testing_do_not_overlap(name):
    cases = read_weakening(name)
    for concept in cases.concepts:
        whole, _ = weakening_prompts(cases, concept)
        test, words = weakening_prompts(cases, concept, split="test")
        assert set(test) <= set(whole)
        if name == "miniature":
            dev, other_words = weakening_prompts(cases, concept, split="dev")
            assert len(test) >= 8
            assert not set(words) & set(other_words)
            assert sorted(test + dev) == sorted(whole)
    assert cases.seeds["dev"] >= cases.seeds["test"] + 100


def test_without_words_for_choosing_settings_there_are_no_such_prompts():
    with pytest.raises(ParameterError, match="'Color' has no prompts of the split 'dev'"):
        weakening_prompts(read_weakening("published"), "Color", split="dev")


def test_fewer_prompts_are_spread_over_all():
    cases = read_weakening("miniature")
    prompts, _ = weakening_prompts(cases, "Color", 5)
    whole, _ = weakening_prompts(cases, "Color")
    assert prompts == whole[::9]


@pytest.mark.parametrize(
    ("concept", "count", "message"),
    [
        ("Hue", None, "no prompts for the concept 'Hue'; there are prompts for: .*Color"),
        ("Color", 99, "has 1 to 45 prompts, not 99"),
        ("Color", 0, "has 1 to 45 prompts, not 0"),
    ],
)
def test_an_unknown_concept_and_too_many_prompts_are_refused(concept, count, message):
    with pytest.raises(ParameterError, match=message):
        weakening_prompts(read_weakening("miniature"), concept, count)


@pytest.mark.parametrize(("split", "first"), [("test", 0), ("dev", 100)])
def test_every_split_has_seeds_of_its_own(split, first):
    chosen = choose_cases("miniature", "Color", 4, 2, split=split)
    assert list(chosen["seeds"]) == [first, first + 1]
    assert len(chosen["prompts"]) == len(chosen["texts"]) == 4


def test_unseen_words_differ_from_those_the_concept_was_built_from():
    seen = ConceptSet.read("published").to_dict()
    for concept, entry in read_weakening("published-unseen").concepts.items():
        singular = {word.lower() for word in seen[concept]}
        common = [word for word in entry.words if word in singular or word[:-1] in singular]
        assert not common
        assert len(entry.words) == 10
