import numpy as np
import pytest

from hrvlab.miniature.judge import QUESTIONS as JUDGED
from hrvlab.miniature.quality import rate_row
from hrvlab.miniature.questions import QUESTIONS, TWO_OBJECTS, read_quality_prompts
from hrvlab.miniature.scenes import sample_scene
from hrvlab.miniature.world import (
    COLORS,
    COUNTS,
    HELD_OUT_PAIRS,
    LANDSCAPES,
    MATERIALS,
    OBJECTS,
    PATTERNS,
    STYLES,
    WEATHERS,
)
from hrvlab.statistics import proportion_interval

BY_NAME = {question.name: question for question in QUESTIONS}
PROMPT_SETS = read_quality_prompts()


def test_a_rate_is_stored_with_its_counts_and_its_rounded_interval():
    low, high = proportion_interval(3, 4)
    assert rate_row("color", "rendered", np.array([True, False, True, True])) == {
        "question": "color",
        "images": "rendered",
        "correct": 3,
        "of": 4,
        "low": round(low, 4),
        "high": round(high, 4),
    }


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_prompts_ask_for_answers_of_their_question(name):
    prompts = PROMPT_SETS[name]
    assert set(prompts.answers or prompts.words) <= set(BY_NAME[prompts.question].answers)


@pytest.mark.parametrize("count", [1, 7, 512])
@pytest.mark.parametrize("name", PROMPT_SETS)
def test_prompts_are_spread_evenly_over_words_and_nouns(name, count):
    prompts, answers = PROMPT_SETS[name].prompts(count)
    assert len(prompts) == len(answers) == count
    times = [prompts.count(prompt) for prompt in set(prompts)]
    assert max(times) - min(times) <= 1


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_prompts_are_made_of_words_the_model_was_trained_on(name):
    known = {word for o in OBJECTS for word in (*o.cue.split(), *o.plural.split())}
    known |= {"a", "an", "and", "in", "the", "on", "day", "made", "of", "with", "pattern"}
    known |= {"style", "painting", *COLORS, *PATTERNS, *MATERIALS, *WEATHERS, *LANDSCAPES, *COUNTS}
    known |= {word for style in STYLES for word in style.split()}
    prompts, _ = PROMPT_SETS[name].prompts(300)
    assert {word for prompt in prompts for word in prompt.split()} <= known


def test_colors_are_measured_on_the_held_out_pairs_and_separately_on_others():
    held_out = {tuple(words.split()) for words in PROMPT_SETS["color, held-out pair"].words}
    assert held_out == HELD_OUT_PAIRS
    colors = PROMPT_SETS["color"]
    assert not {(color, noun) for color in colors.words for noun in colors.nouns} & HELD_OUT_PAIRS


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {TWO_OBJECTS}))
def test_held_out_scenes_cover_every_answer(name):
    truths = {BY_NAME[name].truth(sample_scene(2, index)) for index in range(2000)}
    assert set(BY_NAME[name].answers) <= truths


def test_the_question_of_two_objects_applies_to_scenes_with_two():
    for index in range(300):
        scene = sample_scene(2, index)
        names = {figure.object.name for figure in scene.figures}
        answer = BY_NAME[TWO_OBJECTS].truth(scene)
        assert answer in BY_NAME[TWO_OBJECTS].answers if len(names) == 2 else answer is None


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {TWO_OBJECTS}))
def test_the_judge_can_give_every_answer(name):
    assert set(BY_NAME[name].answers) <= set(JUDGED[name])
