import pytest

from hrvlab.miniature.judging import QUESTIONS as JUDGED
from hrvlab.miniature.quality import interval
from hrvlab.miniature.questions import QUESTIONS, ask_for
from hrvlab.miniature.scenes import sample_scene


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (5, 10), (10, 10), (93, 100)])
def test_an_interval_holds_its_rate_and_stays_within_zero_and_one(correct, total):
    low, high = interval(correct, total)
    assert -1e-12 <= low <= correct / total <= high <= 1 + 1e-12


def test_an_interval_solves_wilsons_equation():
    rate, total = 0.3, 50
    for bound in interval(15, total):
        assert abs(rate - bound) == pytest.approx(1.96 * (bound * (1 - bound) / total) ** 0.5)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.name)
def test_every_answer_is_asked_for_equally_often_and_said_in_its_prompt(question):
    prompts, answers = ask_for(question, 64, seed=0)
    assert len(prompts) == len(answers) >= 64
    assert len({answers.count(answer) for answer in question.answers}) == 1
    assert all(answer in prompt for prompt, answer in zip(prompts, answers, strict=True))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.name)
def test_held_out_scenes_answer_every_question(question):
    truths = {question.truth(sample_scene(2, index)) for index in range(2000)}
    assert set(question.answers) <= truths


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.name)
def test_the_judge_can_give_every_answer(question):
    assert set(question.answers) <= set(JUDGED[question.name])
