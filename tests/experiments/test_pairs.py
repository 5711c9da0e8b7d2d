import itertools

import pytest

from hrvlab.errors import ParameterError
from hrvlab.experiments.pairs import read_pairs
from hrvlab.miniature import world

FORM = "concepts: {Animals: [cat, dog]}\nsections: {things: [%s]}"


def test_a_pair_is_a_prompt_of_two_halves(tmp_path):
    (tmp_path / "own.yaml").write_text(FORM % "cat dog, red dog blue cat")
    plain, colored = read_pairs(tmp_path / "own.yaml").pairs("things")
    assert (plain.prompt, plain.things) == ("a cat and a dog", ("cat", "dog"))
    assert plain.halves == ("a cat", "a dog")
    assert colored.prompt == "a red dog and a blue cat"
    assert (colored.things, colored.halves) == (("dog", "cat"), ("a red dog", "a blue cat"))
    assert colored.concepts == ("Animals", "Animals")


def test_the_published_pairs_are_all_there():
    benchmark = read_pairs("published")
    plain, colored = (benchmark.pairs(name) for name in ("things", "colored things"))
    assert (len(plain), len(colored)) == (66, 150)
    animals = benchmark.concepts["Animals"]
    every = {frozenset(pair) for pair in itertools.combinations(animals, 2)}
    assert {frozenset(pair.things) for pair in plain} == every
    assert (plain[0].prompt, plain[-1].prompt) == ("a bird and a fish", "a cat and a frog")
    assert colored[0].prompt == "a green penguin and a purple bear"
    assert colored[-1].prompt == "a yellow lion and a brown fish"
    assert len({pair.prompt for pair in colored}) == 150


def test_the_miniature_s_pairs_are_of_its_world_and_none_is_chosen_on_and_tested():
    benchmark = read_pairs("miniature")
    assert benchmark.concepts.keys() <= world.concept_words().keys()
    for concept, things in benchmark.concepts.items():
        assert set(things) <= set(world.concept_words()[concept])
        assert all(world.THING_BY_NAME[thing].word == thing for thing in things)
    seen = []
    for section in benchmark.sections:
        pairs = benchmark.pairs(section)
        assert len(pairs) >= (12 if section.endswith("dev") else 24)
        seen += [frozenset(pair.things) for pair in pairs]
        if section.startswith("colored"):
            said = [tuple(half.split()[1:]) for pair in pairs for half in pair.halves]
            assert {color for color, _ in said} <= set(world.PLAIN_COLORS)
            assert not set(said) & world.HELD_OUT_PAIRS
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("cat", "'cat' is not a pair"),
        ("red cat dog", "'red cat dog' is not a pair"),
        ("cat zebra", "of the things cat, dog"),
    ],
)
def test_what_is_not_a_pair_is_refused(tmp_path, written, message):
    (tmp_path / "own.yaml").write_text(FORM % written)
    with pytest.raises(ParameterError, match=message):
        read_pairs(tmp_path / "own.yaml").pairs("things")


def test_sections_and_counts_that_are_not_there_are_refused():
    benchmark = read_pairs("miniature")
    assert len(benchmark.pairs("things", 3)) == 3
    with pytest.raises(ParameterError, match="no section 'animals'; it has: things"):
        benchmark.pairs("animals")
    with pytest.raises(ParameterError, match="has 1 to 32 pairs, not 33"):
        benchmark.pairs("things", 33)
