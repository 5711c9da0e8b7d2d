"""Browse attention maps."""

from __future__ import annotations

from io import BytesIO

import ipywidgets
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

SHOWN_SIDE = 384
DARKEST = 0.15
EVERY = "every"


def spotlight(picture: NDArray[np.uint8], attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Darken a picture where an attention map is weak.

    Parameters
    ----------
    picture : ndarray of uint8, shape (y, x, channel)
    attention : ndarray of float, shape (map_y, map_x)
        Its largest value leaves the picture as it is.

    Returns
    -------
    ndarray of uint8, shape (y, x, channel)
    """
    share = Image.fromarray((attention / attention.max()).astype(np.float32))
    light = np.asarray(share.resize(picture.shape[1::-1], Image.Resampling.BILINEAR))
    return (picture * (DARKEST + (1 - DARKEST) * light[..., None])).astype(np.uint8)


def attention_browser(tree: xr.DataTree, prompt: int = 0) -> ipywidgets.VBox:
    """Browse the attention maps of one picture by word, layer, head and UNet call.

    Parameters
    ----------
    tree : xarray.DataTree
        From `hrvlab.capture.capture` with ``maps``.
    prompt : int
        Number of the prompt.

    Returns
    -------
    ipywidgets.VBox
        A picture, lit where the chosen attention looks, above its controls.
    """
    dataset = tree.to_dataset().isel(prompt=prompt)
    nodes = [tree[name].to_dataset()["maps"].isel(prompt=prompt) for name in tree.children]
    by_layer = {int(layer): node for node in nodes for layer in node["map_layer"].values}
    names = zip(dataset["place"].values, dataset["place_layer"].values, strict=True)
    layers = [
        (f"{place} {number}", layer)
        for layer, (place, number) in enumerate(names)
        if layer in by_layer
    ]
    last = dataset.sizes["timestep"] - 1

    word = ipywidgets.Dropdown(options=list(nodes[0]["map_word"].values), description="word")
    layer = ipywidgets.Dropdown(options=[(EVERY, None), *layers], description="layer")
    head = ipywidgets.Dropdown(options=[(EVERY, None)], description="head")
    call = ipywidgets.IntSlider(value=last, max=last, description="UNet call")
    play = ipywidgets.Play(max=last, interval=250)
    ipywidgets.jslink((play, "value"), (call, "value"))
    picture = ipywidgets.Image(format="png", width=SHOWN_SIDE)

    def attention() -> NDArray[np.floating]:
        chosen = {"timestep": call.value}
        if layer.value is not None:
            maps = by_layer[layer.value].isel(chosen).sel(map_layer=layer.value)
            maps = maps.sel(map_word=word.value)
            return (maps.mean("head") if head.value is None else maps.isel(head=head.value)).values
        finest = max(nodes, key=lambda node: node.sizes["map_y"]).isel(chosen)
        return finest.sel(map_word=word.value).mean(("map_layer", "head")).values

    def show(_: object = None) -> None:
        buffer = BytesIO()
        lit = Image.fromarray(spotlight(dataset["image"].values, attention()))
        lit.resize((SHOWN_SIDE,) * 2, Image.Resampling.NEAREST).save(buffer, "png")
        picture.value = buffer.getvalue()

    def offer_heads(_: object) -> None:
        count = 0 if layer.value is None else int(dataset["heads"].values[layer.value])
        head.options = [(EVERY, None), *((str(number), number) for number in range(count))]

    layer.observe(offer_heads, "value")
    for control in (word, layer, head, call):
        control.observe(show, "value")
    show()
    return ipywidgets.VBox(
        [
            picture,
            ipywidgets.HBox([word, layer, head]),
            ipywidgets.HBox([call, play]),
        ]
    )
