"""Capture cross-attention as labeled datasets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.nn.functional import pad

from hrvlab.attention import SpatialMaps, TokenMeans
from hrvlab.attention.taps import map_size
from hrvlab.errors import ParameterError, TokenError
from hrvlab.forecast import capture_bytes, forecast_calls, forecast_latent_size
from hrvlab.generation import as_uint8, plan_batches, run_batch
from hrvlab.inputs.prompts import as_prompts
from hrvlab.keywords import check_call, describe
from hrvlab.models.columns import fit_columns, joined_padding, missing_columns, unnamed_tokens
from hrvlab.models.families import family_of
from hrvlab.models.known_words import warn_of_unknown_words
from hrvlab.models.load import surroundings
from hrvlab.models.tokens import token_table, word_columns
from hrvlab.noise import as_seeds
from hrvlab.progress import track
from hrvlab.provenance import provenance
from hrvlab.storage.schema import validate

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.columns import Token
    from hrvlab.models.layers import Layer
    from hrvlab.typing import Prompts

BUDGET_BYTES = 2 * 1024**3


@overload
def capture(
    pipe: DiffusionPipeline, prompts: Prompts, *, maps: None = None, **call: Any
) -> xr.Dataset: ...
@overload
def capture(
    pipe: DiffusionPipeline, prompts: Prompts, *, maps: str | Sequence[str], **call: Any
) -> xr.DataTree: ...
def capture(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    seed: int | Sequence[int] = 0,
    maps: str | Sequence[str] | None = None,
    grids: int | Sequence[int] | None = None,
    join_padding: bool = False,
    budget_bytes: int = BUDGET_BYTES,
    batch_size: int = 8,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset | xr.DataTree:
    """Generate images and record how much every head attends to every token in every denoiser call.

    The images are bit for bit those of the untouched pipeline.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    prompts : str, Path, or iterable of str
        One prompt, several, or a file of them; see `hrvlab.read_prompts`.
    seed : int or sequence of int
        Of the initial noise; every prompt is generated with each.
    maps : str or sequence of str, optional
        Words whose spatial maps are kept as well; each must occur in every prompt.
    grids : int or sequence of int, optional
        Keep the maps of layers with these grid sizes only, such as ``[16]``; by default of all
        layers.
    join_padding : bool
        Sum the columns that are padding in all prompts into one for each text encoder; T5 has
        hundreds.
    budget_bytes : int
        Memory that the capture may take, in bytes; its size is forecast before generating.
    batch_size : int
        Images that go through the model together.
    progress : bool
        Show a progress bar over batches.
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``; see `generate`.

    Returns
    -------
    xarray.Dataset
        ``attention (prompt, timestep, layer, head, token)`` float32, the spatial mean of the
        conditional softmax map, NaN where a layer has fewer heads than another; and ``image
        (prompt, y, x, channel)`` uint8, prompt by prompt, seed by seed. ``timestep`` counts
        denoiser calls. In joint attention the image has the rest of every softmax, and ``text_mass
        (prompt, timestep, layer, head)`` float32 is the share of all text columns. If the pipeline
        has a safety checker, ``withheld (prompt)`` bool tells which images it returned black.
        Columns of ``prompt_embeds`` are numbered.
    xarray.DataTree
        If ``maps`` is given: the same dataset at its root, and for every grid size a node
        ``grid_{side}`` with ``maps (prompt, timestep, map_layer, head, map_word, map_y, map_x)``
        float32, summed over the tokens of each word.

    Raises
    ------
    TokenError
        If a word of ``maps`` does not occur in a prompt.
    ParameterError
        If a prompt is empty, a keyword is wrong, no layer has a grid of ``grids``, or the capture
        would exceed the budget.

    Examples
    --------
    >>> captured = hl.capture(pipe, "a red car", num_inference_steps=2, progress=False)
    >>> dict(captured["attention"].sizes)
    {'prompt': 1, 'timestep': 2, 'layer': 16, 'head': 8, 'token': 32}
    """
    texts, seeds = as_prompts(prompts), as_seeds(seed)
    words = [maps] if isinstance(maps, str) else list(() if maps is None else maps)
    batches = plan_batches(texts, seeds, batch_size)
    keywords = check_call(pipe, call, prompts=len(texts), images=len(texts) * len(seeds))
    family = family_of(pipe)
    warn_of_unknown_words(pipe, texts)
    layers = family.layers(family.denoiser(pipe))
    encoding = family.encoding(pipe, call)
    embeds = call.get("prompt_embeds")
    if words and embeds is not None:
        raise TokenError(
            "prompt_embeds have columns without names, among which no word is found; give the "
            "prompts alone, or leave out maps"
        )
    columns = [[word_columns(pipe, text, word, **encoding) for word in words] for text in texts]
    mapped = _mapped_layers(layers, grids) if words else {}
    tables = [token_table(pipe, text, **encoding) for text in texts]
    if embeds is not None:
        tables = [unnamed_tokens(embeds.shape[1])] * len(texts)
    width, side = max(map(len, tables)), family.padding
    if side == "left":  # counted from the end, as a batch may have more padding before them
        columns = [
            [[column - len(table) for column in word] for word in own]
            for own, table in zip(columns, tables, strict=True)
        ]
    tables = [fit_columns(table, width, side) for table in tables]
    first = joined_padding(tables) if join_padding else list(range(len(tables[0])))
    copies = int(call.get("num_images_per_prompt", 1))
    size = forecast_latent_size(pipe, call)
    needed = capture_bytes(
        layers,
        prompts=len(texts) * len(seeds) * copies,
        calls=forecast_calls(pipe, call),
        tokens=len(first),
        image_size=(size[0] * pipe.vae_scale_factor, size[1] * pipe.vae_scale_factor),
        words=len(words),
        map_sizes=[map_size(size, scale) for scale in mapped.values()],
    )
    forecast = [
        [table[column] for column in first] for table in tables for _ in range(len(seeds) * copies)
    ]
    coords = xr.Dataset(coords={**_layer_coords(layers), **_token_coords(forecast)})
    _check_budget(sum(needed.values()) + coords.nbytes, budget_bytes)
    means, generations = [], []
    spatial: list[dict[tuple[int, int], NDArray[np.float32]]] = []
    for batch in track(batches, "capture", disable=not progress or len(batches) == 1):
        token_means = TokenMeans()
        own_columns = [columns[index] for index in batch.indices for _ in range(copies)]
        spatial_maps = [SpatialMaps(own_columns, mapped)] if words else []
        made = run_batch(pipe, batch, token_means, *spatial_maps, output_type="np", **keywords)
        every = token_means.result()
        sides = missing_columns(width - every.shape[-1], side)
        every = pad(torch.from_numpy(every), sides).numpy()
        means.append(np.add.reduceat(every, first, axis=-1) if join_padding else every)
        generations.append(replace(made, images=as_uint8(made.images)))
        spatial.extend(tap.result() for tap in spatial_maps)
    images = [(prompt, own_seed) for prompt in texts for own_seed in seeds for _ in range(copies)]
    sessions = [made.session for made in generations if made.session is not None]
    parameters = {
        "prompts": texts,
        "batch_size": batch_size,
        **({"join_padding": True} if join_padding else {}),
        **surroundings(pipe),
        **describe(call),
    }
    dataset = xr.Dataset(
        {
            "attention": (
                ("prompt", "timestep", "layer", "head", "token"),
                np.concatenate(means),
            ),
            "image": (
                ("prompt", "y", "x", "channel"),
                np.concatenate([made.images for made in generations]),
            ),
        },
        coords={
            "prompt_text": ("prompt", [text for text, _ in images]),
            "seed": ("prompt", [own_seed for _, own_seed in images]),
            **_layer_coords(layers),
            **_token_coords(
                [
                    [fit_columns(row, width, side)[column] for column in first]
                    for one in sessions
                    for row in one.tokens
                ]
            ),
            "scheduler_timestep": ("timestep", sessions[-1].scheduler_timesteps),
        },
        attrs=provenance(
            pipe, "capture", seed=seeds if len(seeds) > 1 else seeds[0], parameters=parameters
        ),
    )
    if any(layer.text != "alone" for layer in layers):
        dataset["text_mass"] = dataset["attention"].sum("token", skipna=False)
    if getattr(pipe, "safety_checker", None) is not None:
        withheld = np.concatenate([made.withheld for made in generations])
        dataset["withheld"] = ("prompt", withheld)
    validate(dataset)
    if not words:
        return dataset
    return xr.DataTree.from_dict({"/": dataset, **_map_nodes(layers, mapped, words, spatial)})


def _layer_coords(layers: Sequence[Layer]) -> dict[str, tuple[str, list[Any]]]:
    """Build the coordinates along the dim ``layer``."""
    names = ("block", "block_layer", "module", "grid", "heads")
    coords = {name: ("layer", [getattr(layer, name) for layer in layers]) for name in names}
    return {**coords, "layer": ("layer", [layer.index for layer in layers])}


def _token_coords(tokens: Sequence[Sequence[Token]]) -> dict[str, Any]:
    """Build the coordinates along the dims ``(prompt, token)``."""
    named = {"token_text": "text", "word": "word", "token_kind": "kind"}
    if any(token.encoder for row in tokens for token in row):
        named["encoder"] = "encoder"
    return {
        coord: (("prompt", "token"), [[getattr(token, name) for token in row] for row in tokens])
        for coord, name in named.items()
    }


def _mapped_layers(layers: Sequence[Layer], grids: int | Sequence[int] | None) -> dict[int, int]:
    """Select the layers whose maps are kept, each with its grid's downscaling of the latents."""
    there = sorted({layer.grid for layer in layers})
    wanted = there if grids is None else np.ravel(grids).tolist()
    if (wrong := sorted({*wanted} - {*there})) or not wanted:
        raise ParameterError(f"no layer has a grid of {wrong}; give some of {there}")
    return {layer.index: layer.downscale for layer in layers if layer.grid in wanted}


def _check_budget(needed: int, budget: int) -> None:
    """Check that a capture fits the budget, before anything is generated."""
    if needed > budget:
        raise ParameterError(
            f"the capture would take {needed / 1e9:.2f} GB, the budget is {budget / 1e9:.2f} GB; "
            "give fewer prompts, steps, words or grids, or raise budget_bytes"
        )


def _map_nodes(
    layers: Sequence[Layer],
    mapped: Collection[int],
    words: list[str],
    batches: Sequence[dict[tuple[int, int], NDArray[np.float32]]],
) -> dict[str, xr.Dataset]:
    """Combine the maps of all batches into one dataset for each grid size."""
    calls = 1 + max(call for call, _ in batches[0])
    widest = max(layer.heads for layer in layers)
    nodes = {}
    for side in sorted({layers[index].grid for index in mapped}):
        chosen = [layers[index] for index in mapped if layers[index].grid == side]
        parts = []
        for maps in batches:
            samples, _, *rest = maps[0, chosen[0].index].shape
            part = np.full((samples, calls, len(chosen), widest, *rest), np.nan, np.float32)
            for call in range(calls):
                for number, layer in enumerate(chosen):
                    part[:, call, number, : layer.heads] = maps[call, layer.index]
            parts.append(part)
        nodes[f"/grid_{side}"] = xr.Dataset(
            {
                "maps": (
                    ("prompt", "timestep", "map_layer", "head", "map_word", "map_y", "map_x"),
                    np.concatenate(parts),
                )
            },
            coords={
                "map_layer": [layer.index for layer in chosen],
                "map_word": words,
            },
            attrs={"schema": "maps"},
        )
    return nodes
