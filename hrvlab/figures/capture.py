"""Attention of heads to the words of a prompt while an image is generated."""

from __future__ import annotations

from itertools import cycle

import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from hrvlab.figures.images import mark_withheld
from hrvlab.figures.style import (
    ATTENTION_SCALE,
    SPECIAL_TOKEN_COLORS,
    WORD_COLORS,
    add_menu,
    escaped,
    slider,
    styled,
)

COLUMNS = 4


def attention_parts(by_word: xr.DataArray) -> go.Figure:
    """Plot how attention, averaged over heads, is distributed at every denoiser call.

    Parameters
    ----------
    by_word : xarray.DataArray, dims (timestep, layer, head, part)
        From `hrvlab.words.attention_by_word`.
    """
    means = by_word.mean(("layer", "head"))
    figure = go.Figure()
    grays, colors = cycle(SPECIAL_TOKEN_COLORS), cycle(WORD_COLORS)
    for index, part in enumerate(means["part"].values):
        figure.add_scatter(
            y=means.isel(part=index).values,
            name=escaped(part),
            stackgroup="parts",
            line={"width": 0.5, "color": next(grays if _is_special(part) else colors)},
            hovertemplate="denoiser call %{x}: %{y:.3f}",
        )
    figure.update_xaxes(title="denoiser call")
    figure.update_yaxes(title="share of attention", range=[0, 1])
    return styled(figure, title="Where attention goes, averaged over heads", height=420)


def head_timeline(by_word: xr.DataArray) -> go.Figure:
    """Plot each head's attention to a word over the denoiser calls, the word chosen from a menu.

    Parameters
    ----------
    by_word : xarray.DataArray, dims (timestep, layer, head, part)
        From `hrvlab.words.attention_by_word`.
    """
    flat = by_word.stack(head_position=("layer", "head")).dropna("head_position", how="all")
    places = (flat[name].values for name in ("block", "block_layer", "head"))
    labels = [f"{block} {layer} · head {head}" for block, layer, head in zip(*places, strict=True)]
    parts = [str(part) for part in flat["part"].values]
    first = [_is_special(part) for part in parts].index(False)
    figure = go.Figure()
    for index, part in enumerate(parts):
        figure.add_heatmap(
            z=flat.isel(part=index).transpose("head_position", "timestep").values,
            y=labels,
            colorscale=ATTENTION_SCALE,
            zmin=0,
            visible=index == first,
            name=escaped(part),
            colorbar={"title": "attention"},
            hovertemplate="%{y}<br>denoiser call %{x}<br>%{z:.3f}<extra></extra>",
        )
    figure.update_xaxes(title="denoiser call")
    figure.update_yaxes(type="category", autorange="reversed", nticks=18)
    styled(figure, title="Attention of every head to one word", height=660)
    return add_menu(figure, parts, first)


def word_overlays(tree: xr.DataTree, prompt: int = 0) -> go.Figure:
    """Overlay the attention maps of the captured words on the image, with a slider over calls.

    Each map is the mean over the heads and layers of the finest grid.

    Parameters
    ----------
    tree : xarray.DataTree
        From `hrvlab.capture` with ``maps``.
    prompt : int
        Number of the prompt.
    """
    finest = max(tree.children, key=lambda name: tree[name].sizes["map_y"])
    maps = tree[finest].to_dataset()["maps"].isel(prompt=prompt).mean(("map_layer", "head"))
    words = [str(word) for word in maps["map_word"].values]
    root = tree.to_dataset().isel(prompt=prompt)
    image = root["image"].values
    stretch = [image.shape[0] / maps.sizes["map_y"], image.shape[1] / maps.sizes["map_x"]]
    columns = min(COLUMNS, len(words) + 1)
    rows = -(-(len(words) + 1) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=["image", *map(escaped, words)],
        horizontal_spacing=0.02,
        vertical_spacing=0.12,
    )
    cells = [(index // columns + 1, index % columns + 1) for index in range(len(words) + 1)]
    for cell in cells:
        figure.add_trace(go.Image(z=image, hoverinfo="skip"), *cell)
    if root.get("withheld", False):
        mark_withheld(figure, image, *cells[0])

    def overlay(call: int, word: int) -> go.Heatmap:
        return go.Heatmap(
            z=maps.isel(timestep=call, map_word=word).values,
            x0=stretch[1] / 2,
            dx=stretch[1],
            y0=stretch[0] / 2,
            dy=stretch[0],
            zsmooth="best",
            opacity=0.65,
            colorscale=ATTENTION_SCALE,
            showscale=False,
            hovertemplate="%{z:.3f}<extra></extra>",
        )

    last = maps.sizes["timestep"] - 1
    for word in range(len(words)):
        figure.add_trace(overlay(last, word), *cells[word + 1])
    own = list(range(len(words) + 1, 2 * len(words) + 1))
    names = [str(call) for call in range(last + 1)]
    figure.frames = [
        go.Frame(name=name, traces=own, data=[overlay(call, word) for word in range(len(words))])
        for call, name in enumerate(names)
    ]
    figure.update_xaxes(visible=False, range=[0, image.shape[1]], constrain="domain")
    figure.update_yaxes(visible=False, range=[image.shape[0], 0], constrain="domain")
    figure.update_layout(sliders=[slider(names, "denoiser call ", last)])
    title = "How strongly each part of the image attends to each word"
    return styled(figure, title=title, height=190 + 190 * rows)


def _is_special(part: str) -> bool:
    """Whether a part is the start token, the end token or the padding, not a word."""
    return part.startswith("⟨")
