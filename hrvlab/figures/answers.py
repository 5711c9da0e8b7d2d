"""Answers of a pool of queries: the heads of a concept, and the words of a head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from hrvlab.figures.style import ACCENT, error_bars, escaped, styled

if TYPE_CHECKING:
    import xarray as xr


def head_ranking(heads: xr.Dataset, title: str) -> go.Figure:
    """Plot the heads that look at a word or concept, with their intervals.

    Parameters
    ----------
    heads : xarray.Dataset
        From `hrvlab.reservoir.pool.Pool.heads_of`.
    title : str
    """
    labels = [
        str(label).replace(", layer: ", " ").replace(", head: ", " · head ")
        for label in heads["label"].values
    ]
    return _bars(heads, "relevance", labels, "relevance (1: mean over heads), 95 % interval", title)


def word_ranking(words: xr.Dataset) -> go.Figure:
    """Plot the words that win a head's vote most often, with their intervals.

    Parameters
    ----------
    words : xarray.Dataset
        From `hrvlab.reservoir.pool.Pool.head_words`.
    """
    title = f"Words that win the vote of “{words.attrs['head']}”"
    labels = [str(word) for word in words["word"].values]
    return _bars(words, "share", labels, "share of the head's votes, 95 % interval", title)


def _bars(found: xr.Dataset, name: str, labels: list[str], axis: str, title: str) -> go.Figure:
    figure = go.Figure(
        go.Bar(
            x=found[name].values,
            y=[escaped(label) for label in labels],
            orientation="h",
            marker_color=ACCENT,
            error_x=error_bars(found[name], found["low"], found["high"]),
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_xaxes(title=axis)
    return styled(figure, title=title, height=460)
