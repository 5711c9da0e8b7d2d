"""A browser of attention maps."""

from __future__ import annotations

import ipywidgets
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from hrvlab.widgets.images import show_image

SHOWN_SIDE = 384
DARKEST = 0.15
EVERY = "every"


def spotlight(image: NDArray[np.uint8], attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Darken an image where an attention map is weak.

    Parameters
    ----------
    image : ndarray of uint8, shape (y, x, channel)
    attention : ndarray of float, shape (map_y, map_x)
        Where it is largest, the image keeps its brightness.

    Returns
    -------
    ndarray of uint8, shape (y, x, channel)
    """
    highest = attention.max()
    share = Image.fromarray((attention / (highest or 1)).astype(np.float32))
    light = np.asarray(share.resize(image.shape[1::-1], Image.Resampling.BILINEAR))
    return (image * (DARKEST + (1 - DARKEST) * light[..., None])).astype(np.uint8)


def attention_browser(tree: xr.DataTree, prompt: int = 0) -> ipywidgets.VBox:
    """Build controls that browse an image's attention maps by word, layer, head and denoiser call.

    Parameters
    ----------
    tree : xarray.DataTree
        From `hrvlab.capture.capture` with ``maps``.
    prompt : int
        Number of the prompt.

    Returns
    -------
    ipywidgets.VBox
        The image, bright where the chosen attention map is strong, above the controls. It keeps
        its aspect ratio.
    """
    dataset = tree.to_dataset().isel(prompt=prompt)
    nodes = [tree[name].to_dataset()["maps"].isel(prompt=prompt) for name in tree.children]
    by_layer = {int(layer): node for node in nodes for layer in node["map_layer"].values}
    names = zip(dataset["block"].values, dataset["block_layer"].values, strict=True)
    layers = [
        (f"{block} {number}", layer)
        for layer, (block, number) in enumerate(names)
        if layer in by_layer
    ]
    last = dataset.sizes["timestep"] - 1

    words = [(str(word), number) for number, word in enumerate(nodes[0]["map_word"].values)]
    word = ipywidgets.Dropdown(options=words, description="word")
    layer = ipywidgets.Dropdown(options=[(EVERY, None), *layers], description="layer")
    head = ipywidgets.Dropdown(options=[(EVERY, None)], description="head")
    call = ipywidgets.IntSlider(
        value=last, max=last, description="denoiser call", style={"description_width": "initial"}
    )
    play = ipywidgets.Play(max=last, interval=250)
    ipywidgets.jslink((play, "value"), (call, "value"))
    image = ipywidgets.Image(format="png")

    def attention() -> NDArray[np.floating]:
        chosen = {"timestep": call.value, "map_word": word.value}
        if layer.value is not None:
            maps = by_layer[layer.value].isel(chosen).sel(map_layer=layer.value)
            return (maps.mean("head") if head.value is None else maps.isel(head=head.value)).values
        finest = max(nodes, key=lambda node: node.sizes["map_y"]).isel(chosen)
        return finest.mean(("map_layer", "head")).values

    def show(_: object = None) -> None:
        show_image(image, spotlight(dataset["image"].values, attention()), SHOWN_SIDE)

    def offer_heads(_: object) -> None:
        count = 0 if layer.value is None else int(dataset["heads"].values[layer.value])
        head.options = [(EVERY, None), *((str(number), number) for number in range(count))]

    layer.observe(offer_heads, "value")
    for control in (word, layer, head, call):
        control.observe(show, "value")
    show()
    return ipywidgets.VBox(
        [
            image,
            ipywidgets.HBox([word, layer, head]),
            ipywidgets.HBox([call, play]),
        ]
    )
