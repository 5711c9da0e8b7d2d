"""Records of an atlas that are loaded when they are asked for: one a head, and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrvlab.atlas.arrays import LARGE, THUMBNAIL, image_address, quantize
from hrvlab.atlas.panel import MAP_SIDE

if TYPE_CHECKING:
    from hrvlab.atlas.changes import Changed
    from hrvlab.atlas.panel import Panel

DECILES = 10
DRAWN = 3  # prompts of each decile
NONE = np.iinfo(np.uint16).max  # in place of a prompt's number
TOGETHER = 12  # images in a record


@dataclass(frozen=True)
class Votes:
    """Votes as a head's record needs them.

    Parameters
    ----------
    steps : ndarray of float, shape (call, concept, head_position), optional
        Relevance at each denoiser call.
    shares : ndarray of float, shape (voted, head_position, concept), optional
        Of the votes of every listed prompt that has votes, the share of each concept.
    prompts : ndarray of int, shape (voted,), optional
        The numbers of these prompts in the list.
    """

    steps: NDArray[np.floating] | None = None
    shares: NDArray[np.floating] | None = None
    prompts: NDArray[np.intp] | None = None


def deciles(
    shares: NDArray[np.floating], *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Sort prompts by a head's share for each concept, and draw some of every tenth.

    Parameters
    ----------
    shares : ndarray of float, shape (prompt, concept)
    seed : int
        Of the draw.

    Returns
    -------
    share : ndarray of float32, shape (concept, 10)
        Mean of each tenth, the largest first; NaN where a tenth is empty.
    drawn : ndarray of uint16, shape (concept, 10, 3)
        Numbers of prompts, drawn from each tenth without replacement; 65535 where there is none.
    """
    count, concepts = shares.shape
    order = np.argsort(-shares, axis=0, kind="stable")
    share = np.full((concepts, DECILES), np.nan, np.float32)
    drawn = np.full((concepts, DECILES, DRAWN), NONE, np.uint16)
    rng = np.random.Generator(np.random.Philox(key=seed))
    for tenth, ranks in enumerate(np.array_split(np.arange(count), DECILES)):
        if not len(ranks):
            continue
        members = order[ranks]
        share[:, tenth] = np.take_along_axis(shares, members, 0).mean(0)
        chosen = np.sort(rng.permutation(len(ranks))[:DRAWN])
        drawn[:, tenth, : len(chosen)] = members[chosen].T
    return share, drawn


def head_record(
    position: int,
    layer: int,
    head: int,
    votes: Votes,
    panel: Panel | None,
    changed: Sequence[Changed],
) -> dict[str, Any]:
    """Build the record of a head.

    Parameters
    ----------
    position, layer, head : int
        The head's position, the number of its layer, and its own number in the layer.
    votes : Votes
    panel : Panel, optional
    changed : sequence of Changed

    Returns
    -------
    dict of str to object
        ``steps (concept, call)``; ``decile_share`` and ``decile_prompt``; ``maps (prompt, y, x)``
        with ``map_word`` and ``map_scale``; ``word_maps (prompt, step, word, y, x)`` with
        ``word_scale``; ``changed``. What was not measured is absent.
    """
    record: dict[str, Any] = {}
    if votes.steps is not None:
        record["steps"] = votes.steps[:, :, position].T.astype(np.float32)
    if votes.shares is not None and votes.prompts is not None:
        share, drawn = deciles(votes.shares[:, position], seed=position)
        there = drawn != NONE
        drawn[there] = votes.prompts[drawn[there]]
        record |= {"decile_share": share, "decile_prompt": drawn}
    if panel is not None and layer in panel.maps and panel.map_word is not None:
        maps, scale = quantize(panel.maps[layer][:, head], 2)
        word = panel.map_word[:, position].astype(np.uint16)
        record |= {"maps": maps[:, :MAP_SIDE, :MAP_SIDE], "map_word": word, "map_scale": scale}
    if panel is not None and panel.featured:
        record |= _word_maps(layer, head, panel)
    record["changed"] = [
        {
            "factor": factor,
            "words": one.words,
            "window": list(one.window),
            "prompt": one.prompt,
            "image": image_address(one.images[row, column], LARGE),
        }
        for one in changed
        for row in [at for at, own in enumerate(one.heads) if own == position]
        for column, factor in enumerate(one.factors)
    ]
    return record


def _word_maps(layer: int, head: int, panel: Panel) -> dict[str, Any]:
    """Quantize a head's maps of every word of the featured prompts."""
    own = [featured.maps[layer][:, head] for featured in panel.featured if layer in featured.maps]
    if len(own) < len(panel.featured):
        return {}  # maps of other layers only were kept
    shape = np.max([maps.shape for maps in own], axis=0)
    padded = np.zeros((len(own), *shape), np.float32)
    for number, maps in enumerate(own):
        steps, words = maps.shape[:2]
        padded[number, :steps, :words] = maps
    codes, scale = quantize(padded, 4)
    return {"word_maps": codes, "word_scale": scale}


def image_record(panel: Panel, number: int) -> dict[str, Any]:
    """Build a record of twelve images of the panel.

    Parameters
    ----------
    panel : Panel
    number : int
        Of the record, from 0.

    Returns
    -------
    dict of str to list of str
        ``images``: data addresses.
    """
    own = panel.images[number * TOGETHER : (number + 1) * TOGETHER]
    return {"images": [image_address(image, THUMBNAIL) for image in own]}


def featured_record(panel: Panel) -> dict[str, Any]:
    """Build the record of the featured prompts' images, at their full size.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    dict of str to list of str
        ``images``: data addresses.
    """
    return {"images": [image_address(panel.images[one.prompt], LARGE) for one in panel.featured]}
