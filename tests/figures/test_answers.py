import numpy as np
import xarray as xr

from hrvlab.figures import head_ranking, word_ranking

HEADS = xr.Dataset(
    {
        "relevance": ("rank", [3.0, 2.0]),
        "low": ("rank", [2.5, 1.0]),
        "high": ("rank", [4.0, 2.5]),
        "label": ("rank", ["up, layer: 8, head: 0", "mid, layer: 0, head: 3"]),
    }
)
WORDS = xr.Dataset(
    {
        "word": ("rank", ["<b>", "tree"]),
        "share": ("rank", [0.5, 0.25]),
        "low": ("rank", [0.4, 0.1]),
        "high": ("rank", [0.6, 0.3]),
    },
    attrs={"head": "up, layer: 8, head: 0"},
)


def test_the_heads_of_a_word_are_shown_with_their_intervals():
    figure = head_ranking(HEADS, "Heads that look at “tree”")
    (bars,) = figure.data
    assert list(bars.y) == ["up 8 · head 0", "mid 0 · head 3"]
    assert np.allclose(bars.x, [3, 2])
    assert np.allclose(bars.error_x.array, [1, 0.5])
    assert np.allclose(bars.error_x.arrayminus, [0.5, 1])
    assert "tree" in figure.layout.title.text


def test_the_words_of_a_head_are_shown_as_they_are_written():
    figure = word_ranking(WORDS)
    (bars,) = figure.data
    assert list(bars.y) == ["&lt;b>", "tree"]
    assert "up, layer: 8, head: 0" in figure.layout.title.text
