import numpy as np
import pytest

import hrvlab as hl
from hrvlab.figures import attention_parts, head_timeline, word_overlays


@pytest.fixture(scope="module")
def tree():
    from tests.pipelines import tiny_sd

    return hl.capture(tiny_sd(), "a red car", maps=["red", "car"], num_inference_steps=2)


@pytest.fixture(scope="module")
def by_word(tree):
    return hl.attention_by_word(tree.to_dataset())


def test_the_parts_stack_up_to_all_of_the_attention(by_word):
    figure = attention_parts(by_word)
    assert [trace.name for trace in figure.data] == [*by_word["part"].values]
    np.testing.assert_allclose(np.sum([trace.y for trace in figure.data], axis=0), 1, rtol=1e-5)


def test_the_timeline_has_a_row_for_every_head_and_shows_the_first_word_at_first(by_word):
    figure = head_timeline(by_word)
    heads = by_word.sizes["layer"] * by_word.sizes["head"]
    assert all(trace.z.shape == (heads, by_word.sizes["timestep"]) for trace in figure.data)
    assert [trace.name for trace in figure.data if trace.visible] == ["a"]
    menu = figure.layout.updatemenus[0]
    assert menu.buttons[menu.active].label == "a"


def test_every_menu_entry_shows_one_word(by_word):
    figure = head_timeline(by_word)
    for button, trace in zip(figure.layout.updatemenus[0].buttons, figure.data, strict=True):
        (chosen,) = np.flatnonzero(button.args[0]["visible"])
        assert figure.data[chosen] is trace
        assert button.label == trace.name


def test_every_frame_holds_the_maps_of_one_call(tree):
    figure = word_overlays(tree)
    maps = tree["grid_8"].to_dataset()["maps"].isel(prompt=0).mean(("map_layer", "head"))
    assert [frame.name for frame in figure.frames] == [str(c) for c in range(len(maps.timestep))]
    for call, frame in enumerate(figure.frames):
        for word, trace in enumerate(frame.data):
            np.testing.assert_array_equal(trace.z, maps.isel(timestep=call, map_word=word))
    # At first the last call is shown, where the slider stands.
    np.testing.assert_array_equal(figure.data[-1].z, maps.isel(timestep=-1, map_word=-1))
    assert figure.layout.sliders[0].active == maps.sizes["timestep"] - 1
