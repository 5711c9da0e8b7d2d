import numpy as np

from hrvlab.reservoir.draws import draw_calls, draw_concept_words, draw_positions


def test_every_call_is_drawn_equally_often_and_no_call_twice():
    drawn = np.array([draw_calls(0, prompt, 50, 4) for prompt in range(4000)])
    assert (np.diff(drawn, axis=1) > 0).all()
    counts = np.bincount(drawn.ravel(), minlength=50)
    expected = 4000 * 4 / 50
    assert len(counts) == 50
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_as_many_calls_as_there_are_are_all_of_them():
    assert draw_calls(3, 1, 7, 7).tolist() == list(range(7))


def test_positions_are_drawn_without_replacement_and_equally_often():
    shape = (3, 4)
    drawn = draw_positions(0, range(1000), 2, 1, shape=shape, positions=20, count=6)
    assert drawn.shape == (1000, 3, 4, 6)
    assert all(len({*row}) == 6 for row in drawn.reshape(-1, 6).tolist())
    for number in range(6):  # any of them alone too, so that halves are samples of the same kind
        counts = np.bincount(drawn[..., number].ravel(), minlength=20)
        expected = drawn[..., number].size / 20
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_positions_depend_on_their_key_alone():
    given = {"shape": (2, 3), "positions": 4096, "count": 8}
    drawn = {
        tuple(of_prompt.ravel())
        for seed, call, group in np.ndindex(2, 2, 2)
        for of_prompt in draw_positions(seed, [0, 1], call, group, **given)
    }
    assert len(drawn) == 16
    alone = draw_positions(0, [1], 0, 1, **given)
    assert tuple(alone.ravel()) in drawn


def test_words_of_concepts_are_drawn_equally_often():
    drawn = draw_concept_words(0, 3, 60, 2, [4, 10, 3])
    assert drawn.shape == (60, 2, 3)
    for column, count in enumerate([4, 10, 3]):
        assert (np.bincount(drawn[..., column].ravel(), minlength=count) == 120 / count).all()


def test_words_of_a_concept_do_not_depend_on_the_others():
    drawn = draw_concept_words(5, 1, 30, 2, [4, 10])
    assert (drawn[..., :1] == draw_concept_words(5, 1, 30, 2, [4])).all()
    assert (drawn != draw_concept_words(5, 2, 30, 2, [4, 10])).any()
