import time

import pytest

import hrvlab as hl
from hrvlab.errors import ConceptError
from hrvlab.widgets import asking_panel
from hrvlab.widgets.asking import answer
from tests.pipelines import tiny_sd

PROMPTS = ["a red car", "a blue cat", "a tree"]
RIVALS = {"Color": ["red", "blue"], "Animals": ["cat", "dog"]}
STEPS = {"num_inference_steps": 4, "progress": False}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    store = tmp_path_factory.mktemp("pools")
    words = ["red", "blue", "cat", "dog", "vase"]
    return hl.record_queries(tiny_sd(), PROMPTS, store=store, vocabulary=words, **STEPS)


def wait_for(text, shown):
    end = time.monotonic() + 30
    while text not in shown.value:
        assert time.monotonic() < end, shown.value
        time.sleep(0.02)


def test_the_box_answers_as_one_types(pool):
    box, shown = asking_panel(hl.open_pool(pool.folder), against=RIVALS).children
    wait_for("a concept, as in", shown)
    box.value = "vase"
    wait_for("<th>relevance</th>", shown)
    box.value = "Colors: red, blu"
    wait_for("no text states of 'blu'", shown)
    box.value = "up, layer: 0, head: 1"
    wait_for("<th>share of votes</th>", shown)


def test_an_answer_lists_heads_or_words_with_their_intervals(pool):
    heads = answer(pool, "Vases: vase, cat", RIVALS, 3)
    best = pool.heads_of({"Vases": ["vase", "cat"]}, against=RIVALS, count=3)
    assert heads.count("<tr>") == 4
    assert f"<td>{best['label'].values[0]}</td><td>{best['relevance'].values[0]:.2f}</td>" in heads
    words = answer(pool, "mid, layer: 0, head: 0", RIVALS, 2)
    assert f"<td>{pool.head_words('mid, layer: 0, head: 0')['word'].values[0]}</td>" in words
    with pytest.raises(ConceptError, match="cannot read the concept"):
        answer(pool, "Vases:", RIVALS, 3)


def test_what_a_user_types_is_never_markup(pool):
    box, shown = asking_panel(hl.open_pool(pool.folder), against=RIVALS).children
    box.value = "<b>"
    wait_for("&lt;b&gt;", shown)
    assert "<b>" not in shown.value
