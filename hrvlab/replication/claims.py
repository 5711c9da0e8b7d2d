"""Claims about the published arrays, each with the function that computes its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.inputs.concepts import ConceptSet
from hrvlab.relevance.similarity import (
    block_shares,
    concept_similarity,
    cosines,
    heads_for_half,
    nearest_centroid,
    timestep_stability,
)
from hrvlab.relevance.vectors import rank

VOTES_PER_HEAD = 2100 * 51

TOP_HEADS = {
    "Animals": "up.8.3 4.43, down.5.3 4.22, up.6.7 3.80, up.7.5 3.55, down.1.6 3.41",
    "Furniture": "down.2.6 7.40, mid.0.4 6.43, down.4.7 5.15, down.2.0 4.04, down.4.6 3.89",
    "Color": "up.8.0 8.31, up.6.4 5.13, up.7.5 4.70, up.7.2 4.69, up.8.3 4.69",
    "Image Style": "mid.0.3 18.17, up.2.1 9.60, up.5.2 7.47, mid.0.6 6.14, mid.0.0 5.58",
    "Material": "up.2.0 7.55, down.3.6 7.31, up.5.3 4.54, up.2.3 4.42, up.1.7 4.40",
    "Weather Conditions": "up.0.6 9.38, down.4.3 6.95, up.2.3 6.60, down.5.0 5.85, mid.0.1 5.64",
    "Geometric Patterns": "down.0.1 15.49, down.3.4 7.98, up.2.7 6.80, up.2.6 5.75, up.2.3 5.40",
    "Nature Scenes": "down.5.0 4.19, down.2.1 4.07, down.2.7 3.75, up.0.4 3.65, down.3.2 3.63",
    "Fruits and Vegetables": "up.7.5 4.43, up.4.7 4.07, up.8.1 3.41, up.1.2 3.41, down.1.2 3.37",
    "Shape": "mid.0.5 23.19, down.3.4 12.29, up.3.7 9.21, up.1.0 8.74, up.1.3 5.79",
}

BLOCKS = {
    "Color": (0.27, 0.0, 0.73),
    "Image Style": (0.33, 0.27, 0.40),
    "Geometric Patterns": (0.46, 0.01, 0.53),
}


@dataclass(frozen=True)
class Claim:
    """A claim about the published arrays.

    Parameters
    ----------
    text : str
    value : float or str
        The claimed value.
    tolerance : float
        How far a number may differ from it: half of the last claimed digit.
    needs : tuple of str
        Fields of `hrvlab.replication.checks.PublishedArrays`.
    compute : callable
        Takes these arrays and computes the value.
    """

    text: str
    value: float | str
    tolerance: float
    needs: tuple[str, ...]
    compute: Callable[..., float | str]

    def holds(self, found: float | str) -> bool:
        """Return whether a value that was found agrees with the claimed one."""
        if isinstance(found, str) or isinstance(self.value, str):
            return found == self.value
        return bool(abs(found - self.value) <= self.tolerance * (1 + 1e-6))


def claims() -> list[Claim]:
    """List all claims: about SD 1.4's vectors, votes and single calls, and SDXL's vectors."""
    return [*_about_sd(), *_about_shares(), *_about_calls(), *_about_sdxl()]


def _about_sd() -> list[Claim]:
    needs = ("sd",)
    rows: list[tuple[str, float | str, float, Callable[..., float | str]]] = [
        ("SD 1.4: largest error of a row's sum of 128", 0, 1e-4, partial(_row_error, heads=128)),
        ("highest relevance", 23.187, 5e-4, lambda r: float(r.max())),
        ("concept and head of the highest", "Shape at mid, layer: 0, head: 5", 0, _highest),
        ("lowest relevance", 0, 0, lambda r: float(r.min())),
        ("median relevance", 0.457, 5e-4, lambda r: float(r.median())),
        ("share of relevances above 1", 0.31, 5e-3, lambda r: float((r > 1).mean())),
        ("relevances of zero", 192, 0, lambda r: int((r == 0).sum())),
        ("zeros of Counting", 69, 0, lambda r: int((r.sel(concept="Counting") == 0).sum())),
        ("mean cosine of two concepts", 0.334, 5e-4, lambda r: float(_pairs(r).mean())),
        ("highest cosine of two concepts", 0.804, 5e-4, lambda r: float(_pairs(r).max())),
        ("the most similar concepts", "Clothing, Accessories", 0, partial(_pair, pick=np.argmax)),
        ("lowest cosine of two concepts", 0.03, 5e-3, lambda r: float(_pairs(r).min())),
        ("the least similar concepts", "Counting, Image Style", 0, partial(_pair, pick=np.argmin)),
    ]
    for name, heads in {"Shape": 6, "Image Style": 9, "Color": 15, "Animals": 24}.items():
        rows.append((f"heads that hold half of {name}", heads, 0, partial(_count, name=name)))
    for name, shares in BLOCKS.items():
        for block, share in zip(("down", "mid", "up"), shares, strict=True):
            compute = partial(_block_share, name=name, block=block)
            rows.append((f"share of {name} in the {block} blocks", share, 5e-3, compute))
    for name, top in TOP_HEADS.items():
        rows.append((f"top heads of {name}", top, 0, partial(_top_heads, name=name)))
    return [Claim(text, value, off, needs, compute) for text, value, off, compute in rows]


def _about_shares() -> list[Claim]:
    needs = ("sd_shares",)
    percents = {
        "Brand Logos": (9.8, 0.05),
        "Electronics": (9.6, 0.05),
        "Animals": (7.8, 0.05),
        "Color": (6.7, 0.05),
        "Texture": (0.28, 5e-3),
        "Counting": (0.037, 5e-4),
    }
    return [
        Claim("SD 1.4: largest error of a head's sum of shares", 0, 1e-6, needs, _column_error),
        Claim("shares × 107,100", "integers", 0, needs, partial(_integers, votes=VOTES_PER_HEAD)),
        Claim("shares × 105,000", "not integers", 0, needs, partial(_integers, votes=105_000)),
        Claim("normalized shares, largest error", 0, 1e-5, ("sd", "sd_shares"), _share_error),
        Claim("votes for Brand Logos", 1_343_127, 0, needs, partial(_votes, name="Brand Logos")),
        Claim("votes for Counting", 5_067, 0, needs, partial(_votes, name="Counting")),
        *(
            Claim(f"share of votes for {name}, %", value, off, needs, partial(_percent, name=name))
            for name, (value, off) in percents.items()
        ),
    ]


def _about_calls() -> list[Claim]:
    needs = ("sd_by_timestep",)
    both = ("sd", *needs)
    stability = {None: 0.901, "Counting": 0.699, "Electronics": 0.954}
    return [
        Claim("single calls: largest error of a row's sum", 0, 1e-3, needs, _call_error),
        *(
            Claim(
                f"mean cosine of two calls, {name or 'all concepts'}",
                *(value, 5e-4, needs, partial(_stability, name=name)),
            )
            for name, value in stability.items()
        ),
        Claim("mean cosine of two concepts at one call", 0.305, 5e-4, needs, _mean_cosine),
        Claim("concepts recognized at one call, share", 0.9994, 5e-5, needs, nearest_centroid),
        Claim("cosine of calls 0 and 50", 0.64, 5e-3, needs, partial(_from_first, to=50)),
        Claim("cosine of calls 0 and 25", 0.82, 5e-3, needs, partial(_from_first, to=25)),
        Claim(
            "lowest cosine with the mean of all calls",
            *(0.995, 5e-4, both, lambda *given: float(_with_mean(*given).min())),
        ),
        Claim(
            "highest cosine with the mean of all calls",
            *(0.999, 5e-4, both, lambda *given: float(_with_mean(*given).max())),
        ),
    ]


def _about_sdxl() -> list[Claim]:
    needs = ("sdxl",)
    error = partial(_row_error, heads=1300)
    return [
        Claim("SDXL: largest error of a row's sum of 1300", 0, 1e-3, needs, error),
        Claim("SDXL: highest relevance", 66.15, 5e-3, needs, lambda r: float(r.max())),
        Claim("SDXL: its concept and head", "Color at up, layer: 14, head: 6", 0, needs, _highest),
    ]


def _row_error(hrv: xr.DataArray, heads: int) -> float:
    return float(np.abs(hrv.astype(np.float64).sum("head_position") - heads).max())


def _highest(hrv: xr.DataArray) -> str:
    at = hrv.argmax(...)
    return f"{hrv['concept'].values[at['concept']]} at {hrv['label'].values[at['head_position']]}"


def _call_error(by_timestep: xr.DataArray) -> float:
    return _row_error(by_timestep, heads=128)


def _column_error(shares: NDArray[np.float64]) -> float:
    return float(np.abs(shares.sum(0) - 1).max())


def _integers(shares: NDArray[np.float64], votes: int) -> str:
    counts = shares * votes
    return "integers" if np.abs(counts - np.round(counts)).max() < 3e-3 else "not integers"


def _share_error(hrv: xr.DataArray, shares: NDArray[np.float64]) -> float:
    scaled = shares / shares.sum(1, keepdims=True) * shares.shape[1]
    return float(np.abs(scaled - hrv.values).max())


def _row(name: str) -> int:
    return ConceptSet.read("published").names.index(name)


def _votes(shares: NDArray[np.float64], name: str) -> float:
    return float(np.round(shares[_row(name)] * VOTES_PER_HEAD).sum())


def _percent(shares: NDArray[np.float64], name: str) -> float:
    return float(100 * shares[_row(name)].mean())


def _stability(by_timestep: xr.DataArray, name: str | None = None) -> float:
    """Compute the mean cosine of two different calls, of one concept or of all."""
    cosine = timestep_stability(by_timestep)
    chosen = cosine if name is None else cosine.sel(concept=[name])
    steps = cosine.sizes["timestep"]
    return float(chosen.values[:, *np.triu_indices(steps, 1)].mean())


def _mean_cosine(by_timestep: xr.DataArray) -> float:
    return float(np.mean([_pairs(vectors).mean() for vectors in by_timestep]))


def _with_mean(hrv: xr.DataArray, by_timestep: xr.DataArray) -> NDArray[np.float64]:
    """Compute the cosine between each concept's vector and the mean of those at single calls."""
    return np.diagonal(cosines(hrv.values, by_timestep.mean("timestep").values))


def _from_first(by_timestep: xr.DataArray, to: int) -> float:
    return float(timestep_stability(by_timestep)[:, 0, to].mean())


def _pairs(hrv: xr.DataArray) -> NDArray[np.float64]:
    cosine = concept_similarity(hrv).values
    return cosine[np.triu_indices_from(cosine, 1)]


def _pair(hrv: xr.DataArray, pick: Callable[[NDArray[np.float64]], np.intp]) -> str:
    at = pick(_pairs(hrv))
    first, second = np.triu_indices(hrv.sizes["concept"], 1)
    names = sorted((int(first[at]), int(second[at])))
    return ", ".join(str(hrv["concept"].values[index]) for index in names)


def _count(hrv: xr.DataArray, name: str) -> int:
    return int(heads_for_half(hrv).sel(concept=name))


def _block_share(hrv: xr.DataArray, name: str, block: str) -> float:
    return float(block_shares(hrv).sel(concept=name, block=block))


def _top_heads(hrv: xr.DataArray, name: str) -> str:
    row = hrv.sel(concept=name)
    top = row[rank(row)[:5].values]
    parts = zip(top["block"], top["block_layer"], top["head"], top, strict=True)
    return ", ".join(f"{p.item()}.{n.item()}.{h.item()} {r.item():.2f}" for p, n, h, r in parts)
