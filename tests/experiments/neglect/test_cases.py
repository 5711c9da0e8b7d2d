import itertools

import pytest

from hrvlab.errors import ParameterError
from hrvlab.experiments.neglect.cases import read_pairs
from hrvlab.miniature import world

FORM = "concepts: {Animals: [cat, dog]}\nsections: {objects: [%s]}"


def test_a_pair_is_a_prompt_of_two_phrases(tmp_path):
    (tmp_path / "own.yaml").write_text(FORM % "cat dog, red dog blue cat")
    plain, colored = read_pairs(tmp_path / "own.yaml").pairs("objects")
    assert (plain.prompt, plain.objects) == ("a cat and a dog", ("cat", "dog"))
    assert plain.phrases == ("a cat", "a dog")
    assert colored.prompt == "a red dog and a blue cat"
    assert (colored.objects, colored.phrases) == (("dog", "cat"), ("a red dog", "a blue cat"))
    assert colored.concepts == ("Animals", "Animals")


def test_the_published_pairs_are_all_there():
    cases = read_pairs("published")
    plain, colored = (cases.pairs(name) for name in ("objects", "colored objects"))
    assert (len(plain), len(colored)) == (66, 150)
    animals = cases.concepts["Animals"]
    every = {frozenset(pair) for pair in itertools.combinations(animals, 2)}
    assert {frozenset(pair.objects) for pair in plain} == every
    assert (plain[0].prompt, plain[-1].prompt) == ("a bird and a fish", "a cat and a frog")
    assert colored[0].prompt == "a green penguin and a purple bear"
    assert colored[-1].prompt == "a yellow lion and a brown fish"
    assert len({pair.prompt for pair in colored}) == 150


def test_the_miniature_s_pairs_are_of_its_world_and_none_is_chosen_on_and_tested():
    cases = read_pairs("miniature")
    assert cases.concepts.keys() <= world.concept_words().keys()
    for concept, names in cases.concepts.items():
        assert set(names) <= set(world.concept_words()[concept])
        assert all(world.OBJECT_BY_NAME[name].word == name for name in names)
    seen = []
    for section in cases.sections:
        pairs = cases.pairs(section)
        assert len(pairs) >= (12 if section.endswith("dev") else 24)
        seen += [frozenset(pair.objects) for pair in pairs]
        if section.startswith("colored"):
            colored = [tuple(phrase.split()[1:]) for pair in pairs for phrase in pair.phrases]
            assert {color for color, _ in colored} <= set(world.PLAIN_COLORS)
            assert not set(colored) & world.HELD_OUT_PAIRS
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("cat", "'cat' is not a pair"),
        ("red cat dog", "'red cat dog' is not a pair"),
        ("cat zebra", "give two objects, .* of: cat, dog"),
    ],
)
def test_a_text_that_is_not_a_pair_is_refused(tmp_path, written, message):
    (tmp_path / "own.yaml").write_text(FORM % written)
    with pytest.raises(ParameterError, match=message):
        read_pairs(tmp_path / "own.yaml").pairs("objects")


def test_sections_and_counts_that_are_not_there_are_refused():
    cases = read_pairs("miniature")
    assert len(cases.pairs("objects", 3)) == 3
    with pytest.raises(ParameterError, match="no section 'animals'; there are: objects"):
        cases.pairs("animals")
    with pytest.raises(ParameterError, match="has 1 to 32 pairs, not 33"):
        cases.pairs("objects", 33)
