import pytest

from hrvlab.miniature.judging import QUESTIONS as JUDGED
from hrvlab.miniature.quality import interval
from hrvlab.miniature.questions import QUESTIONS, TWO_THINGS, read_asked
from hrvlab.miniature.scenes import sample_scene
from hrvlab.miniature.world import (
    COLORS,
    COUNTS,
    HELD_OUT_PAIRS,
    LANDSCAPES,
    MATERIALS,
    PATTERNS,
    STYLES,
    THINGS,
    WEATHERS,
)

BY_NAME = {question.name: question for question in QUESTIONS}
ASKED = read_asked()


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (5, 10), (10, 10), (93, 100)])
def test_an_interval_holds_its_rate_and_stays_within_zero_and_one(correct, total):
    low, high = interval(correct, total)
    assert -1e-12 <= low <= correct / total <= high <= 1 + 1e-12


def test_an_interval_solves_wilsons_equation():
    rate, total = 0.3, 50
    for bound in interval(15, total):
        assert abs(rate - bound) == pytest.approx(1.96 * (bound * (1 - bound) / total) ** 0.5)


@pytest.mark.parametrize("name", ASKED)
def test_every_answer_asked_for_can_be_given(name):
    asking = ASKED[name]
    assert set(asking.answers or asking.words) <= set(BY_NAME[asking.question].answers)


@pytest.mark.parametrize("pictures", [1, 7, 512])
@pytest.mark.parametrize("name", ASKED)
def test_prompts_are_spread_evenly_over_words_and_nouns(name, pictures):
    prompts, answers = ASKED[name].ask(pictures)
    assert len(prompts) == len(answers) == pictures
    times = [prompts.count(prompt) for prompt in set(prompts)]
    assert max(times) - min(times) <= 1


@pytest.mark.parametrize("name", ASKED)
def test_prompts_are_made_of_words_the_model_was_trained_on(name):
    said = {word for thing in THINGS for word in (*thing.cue.split(), *thing.plural.split())}
    said |= {"a", "an", "and", "in", "the", "on", "day", "made", "of", "with", "pattern"}
    said |= {"style", "painting", *COLORS, *PATTERNS, *MATERIALS, *WEATHERS, *LANDSCAPES, *COUNTS}
    said |= {word for style in STYLES for word in style.split()}
    prompts, _ = ASKED[name].ask(300)
    assert {word for prompt in prompts for word in prompt.split()} <= said


def test_colours_are_asked_of_pairs_that_were_never_drawn_and_of_others():
    apart = {tuple(words.split()) for words in ASKED["color, pair never drawn"].words}
    assert apart == HELD_OUT_PAIRS
    asked = {(color, thing) for color in ASKED["color"].words for thing in ASKED["color"].nouns}
    assert not asked & HELD_OUT_PAIRS


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {TWO_THINGS}))
def test_held_out_scenes_answer_every_question(name):
    truths = {BY_NAME[name].truth(sample_scene(2, index)) for index in range(2000)}
    assert set(BY_NAME[name].answers) <= truths


def test_two_things_are_asked_of_scenes_with_two():
    for index in range(300):
        scene = sample_scene(2, index)
        names = {figure.thing.name for figure in scene.figures}
        answer = BY_NAME[TWO_THINGS].truth(scene)
        assert answer in BY_NAME[TWO_THINGS].answers if len(names) == 2 else answer is None


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {TWO_THINGS}))
def test_the_judge_can_give_every_answer(name):
    assert set(BY_NAME[name].answers) <= set(JUDGED[name])
