"""Arrays of the published names and shapes, computed from random votes."""

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from hrvlab.models.heads import head_table
from hrvlab.replication import arrays as published
from hrvlab.replication.claims import TOP_HEADS, VOTES_PER_HEAD

# The numbers of heads of SDXL's layers in every block, in forward order.
SDXL_LAYERS = {"down": [10] * 4 + [20] * 20, "mid": [20] * 10, "up": [20] * 30 + [10] * 6}


def write_arrays(folder):
    """Write all files; Color has the claimed top heads, everything else is random."""
    with torch.device("meta"):
        table = head_table(UNet2DConditionModel(sample_size=64, cross_attention_dim=768))
    labels = table["label"].values.tolist()
    rng = np.random.default_rng(0)
    votes = rng.multinomial(VOTES_PER_HEAD, rng.dirichlet(np.ones(34)), size=128).T
    votes[17] = votes_with_top(TOP_HEADS["Color"], labels)
    # Every head casts the same number of votes: the commonest concept makes up the difference.
    votes[votes.sum(1).argmax()] += VOTES_PER_HEAD - votes.sum(0)
    shares = votes / VOTES_PER_HEAD
    np.save(folder / published.SHARES, shares)
    np.save(folder / published.SD, relevance(shares))
    np.save(folder / published.SD_BY_TIMESTEP, relevance(rng.gamma(1, size=(51, 34, 128))))
    np.save(folder / published.SD_HEADS, np.array(labels))
    np.save(folder / published.SDXL, relevance(rng.gamma(1, size=(34, 1300))))
    np.save(folder / published.SDXL_HEADS, np.array(sdxl_labels()))


def relevance(shares):
    return (shares / shares.sum(-1, keepdims=True) * shares.shape[-1]).astype(np.float32)


def sdxl_labels():
    return [
        f"{block}, layer: {layer}, head: {head}"
        for block, layers in SDXL_LAYERS.items()
        for layer, heads in enumerate(layers)
        for head in range(heads)
    ]


def votes_with_top(claimed, labels):
    """Return 128,000 votes with the claimed top heads; the other heads share the rest."""
    votes = np.zeros(128, int)
    for part in claimed.split(", "):
        name, value = part.split()
        block, layer, head = name.split(".")
        votes[labels.index(f"{block}, layer: {layer}, head: {head}")] = round(1000 * float(value))
    rest = np.flatnonzero(votes == 0)
    votes[rest] = (128_000 - votes.sum()) // len(rest)
    votes[rest[: 128_000 - votes.sum()]] += 1
    return votes
