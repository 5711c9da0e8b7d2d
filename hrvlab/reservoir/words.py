"""States of a vocabulary, and the projections that turn them into keys, read from a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from hrvlab.attention.hooks import attention_module
from hrvlab.attention.word_keys import pass_through
from hrvlab.models.families import family_of
from hrvlab.models.heads import head_table
from hrvlab.models.known_words import read_known_words, unknown_words
from hrvlab.reservoir.groups import as_text
from hrvlab.reservoir.keymaps import Norm, add_maps, read_norm

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.models.layers import Layer
    from hrvlab.reservoir.groups import LayerGroup

AT_ONCE = 64  # words that go through the text encoder together


def encode_words(
    pipe: DiffusionPipeline, words: Sequence[str], how: Mapping[str, Any]
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Encode every word alone, up to the projections of the layers.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    words : sequence of str
    how : mapping of str to object
        Keywords on which the encoding depends, from `hrvlab.models.families.Family.encoding`.

    Returns
    -------
    states : ndarray of float16, shape (row, state)
        The sink's, then those of each word's tokens.
    tokens : ndarray of int, shape (word,)
    """
    family = family_of(pipe)
    rows: list[Tensor] = []
    tokens: list[int] = []
    for first in range(0, len(words), AT_ONCE):
        encoded = family.encode_words(pipe, words[first : first + AT_ONCE], **how)
        states = torch.cat([encoded.start[None], *encoded.content])
        with torch.no_grad():
            for part in encoded.through:
                states = pass_through(part, states, states.device)
        rows.append(states[bool(first) :].half().cpu())
        tokens += [len(own) for own in encoded.content]
    return torch.cat(rows).numpy(), np.array(tokens)


def known_flags(pipe: DiffusionPipeline, words: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which words a model knows, if it lists those that it was trained on; else all.

    Returns
    -------
    ndarray of bool, shape (word,)
    """
    folder = getattr(pipe.config, "_name_or_path", None)
    listed = read_known_words(Path(folder)) if folder else []
    return np.array([not listed or not unknown_words([word], listed) for word in words])


def read_projections(
    pipe: DiffusionPipeline, layers: Sequence[Layer], group: LayerGroup, states: int
) -> tuple[dict[str, NDArray[Any]], Norm]:
    """Read how the layers of a group turn text states into keys.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    layers : sequence of Layer
        All layers of the model.
    group : LayerGroup
    states : int
        Channels of a text state.

    Returns
    -------
    arrays : dict of str to ndarray
        ``projection`` float16, shape (layer, state, channel), with ``channel`` of all heads;
        ``bias``, shape (layer, channel), ``norm``, its weight and bias, shape (layer, 2, channel),
        and ``scale`` of the attention scores, shape (layer,), all float32.
    norm : Norm

    Raises
    ------
    ModelError
        If keys pass a norm that is not known.
    """
    denoiser = family_of(pipe).denoiser(pipe)
    width = group.heads * group.channels
    count = len(group.layers)
    projection = np.empty((count, states, width), np.float16)
    bias = np.empty((count, width), np.float32)
    weights = np.zeros((count, 2, width), np.float32)
    weights[:, 0] = 1
    scale = np.empty(count, np.float32)
    norm = Norm()
    # The projections of unit states, and of the zero state, tell all of a linear map.
    units = torch.eye(states + 1, states)
    for number, index in enumerate(group.layers):
        layer = layers[index]
        module = attention_module(denoiser, layer)
        device = next(module.parameters()).device
        device = pipe._execution_device if device.type == "meta" else device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            read = pass_through(module.to_k, units, device).float().cpu().numpy()
        bias[number] = read[-1]
        projection[number] = read[:-1] - read[-1]
        scale[number] = module.scale
        norm, *of_norm = read_norm(module.get_submodule(layer.key) if layer.normed else None)
        for row, values in enumerate(of_norm):
            if values is not None:
                weights[number, row] = values.detach().float().cpu().numpy()
    return {"projection": projection, "bias": bias, "norm": weights, "scale": scale}, norm


def describe_words(
    pipe: DiffusionPipeline,
    groups: tuple[LayerGroup, ...],
    words: Sequence[str],
    how: dict[str, Any],
) -> xr.Dataset:
    """Tabulate heads and words, with the words' states and the projections of keys.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    groups : tuple of LayerGroup
    words : sequence of str
    how : dict of str to object
        See `encode_words`.

    Returns
    -------
    xarray.Dataset
        All of a pool but its prompts, calls and queries.
    """
    family = family_of(pipe)
    denoiser = family.denoiser(pipe)
    layers = family.layers(denoiser)
    states, tokens = encode_words(pipe, words, how)
    data = xr.Dataset(
        {"states": (("row", "state"), states), "tokens": ("word", tokens)},
        coords={
            **head_table(denoiser).coords,
            "word": list(words),
            "known": ("word", known_flags(pipe, words)),
        },
    )
    scales = np.empty(len(layers), np.float32)
    norms = []
    for group in groups:
        read, norm = read_projections(pipe, layers, group, states.shape[1])
        scales[list(group.layers)] = read.pop("scale")
        norms.append(asdict(norm))
        add_maps(data, group, read)
    data["scale"] = "model_layer", scales
    return data.assign_attrs(groups=as_text(groups), norms=json.dumps(norms), how=json.dumps(how))
