"""Ordered weakening: weaken heads in the order of their relevance, and see the concept go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.attention.edits import CONTENT
from hrvlab.errors import ParameterError
from hrvlab.experiments.scoring import Score, score_names
from hrvlab.experiments.steering import concept_row
from hrvlab.experiments.sweep import check, open_ledger, sweep
from hrvlab.generation import plan_batches
from hrvlab.ledger import keep
from hrvlab.relevance.vectors import check_model, rank
from hrvlab.store import provenance
from hrvlab.typing import HeadFactors

MOST_FIRST, LEAST_FIRST, RANDOM = "MoRHF", "LeRHF", "random"
KINDS = (MOST_FIRST, LEAST_FIRST, RANDOM)
CUTS = 9


def make_orders(
    relevance: xr.DataArray, kinds: Sequence[str], *, draws: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Order the heads of one concept in every way asked for.

    Parameters
    ----------
    relevance : xarray.DataArray, dims (head_position)
    kinds : sequence of str
        ``"MoRHF"``, ``"LeRHF"`` (its reverse) and ``"random"``.
    draws : int
        How many random orders.
    seed : int
        A random order depends on it and its own number alone.

    Returns
    -------
    dict of str to ndarray of int64, shape (head_position,)
        Head positions, first to be weakened first; of equal heads the lower position is the more
        relevant. Random orders are named ``"random 0"``, ``"random 1"``, ….
    """
    descending = rank(relevance).values
    orders = {}
    for kind in kinds:
        if kind == MOST_FIRST:
            orders[kind] = descending
        elif kind == LEAST_FIRST:
            orders[kind] = descending[::-1]
        elif kind == RANDOM:
            for draw in range(draws):
                rng = np.random.Generator(np.random.Philox(key=[seed, draw]))
                orders[f"{RANDOM} {draw}"] = rng.permutation(len(descending))
        else:
            raise ParameterError(f"unknown order {kind!r}; give some of {', '.join(KINDS)}")
    if not orders:
        raise ParameterError(f"there is no order; give some of {', '.join(KINDS)}, with draws")
    return orders


def weaken(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Sequence[str],
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    orders: Sequence[str] = KINDS,
    draws: int = 5,
    cuts: Sequence[int] | None = None,
    factor: float = -2.0,
    seeds: Sequence[int] = (0,),
    tokens: str | Sequence[str] = CONTENT,
    window: tuple[int, int | None] = (0, None),
    batch_size: int = 16,
    store: str | Path | None = None,
    allow_other_model: bool = False,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Weaken more and more heads, in several orders, and score the pictures.

    Many interventions share a batch, so that a sweep costs what plain generation costs. With a
    store, a killed sweep resumes at its first missing batch and ends in the same numbers.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    concept : str
        Whose vector orders the heads.
    prompts : sequence of str
    texts : sequence of str
        For each prompt, what its pictures are scored against: the concept's word, as published.
    score : Score or mapping of str to Score
        Such as `clip_score` gives; or several, by the names of their witnesses.
    orders : sequence of str
        Most relevant heads first, least relevant first, at random.
    draws : int
        How many random orders.
    cuts : sequence of int, optional
        Numbers of weakened heads; none and all are always there. Default: nine, evenly spread.
    factor : float
        What the weakened heads' attention is multiplied with.
    seeds : sequence of int
        Of the initial noise; random orders use the first.
    tokens : str or sequence of str
        ``"content"``: every word of the prompt; ``"scored"``: only the word that its pictures are
        scored against; or a word, or several.
    window : tuple of int or None
        First UNet call and past-the-last UNet call in which heads are weakened.
    batch_size : int
        Part of the plan.
    store : str or Path, optional
        Keeps finished batches, pictures and the result, in a folder of its own for every plan.
    allow_other_model : bool
        Use vectors that were built from another model.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``score (order, weakened, prompt, seed)`` float32, for several scores with the leading dim
        ``witness``; with a store also ``image``, the pictures' file names below the store's
        ``images``. ``kind (order)`` tells random orders
        from the others, ``share (weakened)`` is the share of heads weakened.

    Raises
    ------
    ConceptError, ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 4 of arXiv 2412.02237.
    """
    check_model(hrv, pipe, allow_other_model=allow_other_model)
    plan_batches(prompts, seeds, batch_size)
    relevance = concept_row(hrv, concept)
    ordered = make_orders(relevance, orders, draws=draws, seed=seeds[0])
    heads = relevance.sizes["head_position"]
    counts = _cuts(cuts, heads)
    settings, index = weakened_settings(list(ordered.values()), counts, factor)
    check(pipe, settings, prompts, texts, score, seeds, tokens, window, batch_size, call)
    parameters = {
        "concept": concept,
        "prompts": list(prompts),
        "texts": list(texts),
        "score": score_names(score),
        "orders": {name: order.tolist() for name, order in ordered.items()},
        "cuts": counts,
        "factor": factor,
        "seeds": list(seeds),
        "tokens": tokens if isinstance(tokens, str) else list(tokens),
        "window": list(window),
        "batch_size": batch_size,
        **call,
    }
    ledger = None if store is None else open_ledger(pipe, store, parameters)

    def curves() -> xr.Dataset:
        result = sweep(
            pipe,
            settings,
            prompts,
            texts=texts,
            score=score,
            seeds=seeds,
            tokens=tokens,
            window=window,
            batch_size=batch_size,
            ledger=ledger,
            name="weaken",
            progress=progress,
            **call,
        )
        by_order = result.isel(setting=xr.DataArray(index, dims=("order", "weakened")))
        return by_order.assign_coords(
            order=list(ordered),
            kind=("order", [name.split(" ")[0] for name in ordered]),
            weakened=counts,
            share=("weakened", np.array(counts) / heads),
        ).assign_attrs(provenance(pipe, "weakening", seed=list(seeds), parameters=parameters))

    return keep(ledger, curves)


def weakened_settings(
    orders: Sequence[NDArray[np.int64]], cuts: Sequence[int], factor: float
) -> tuple[HeadFactors, NDArray[np.int64]]:
    """Write down the heads' factors for every order and cut; no two settings are the same.

    Returns
    -------
    settings : ndarray of float64, shape (setting, head_position)
    index : ndarray of int64, shape (order, cut)
        The setting of each order and cut: all orders share that of no head and that of all heads.
    """
    factors = np.ones((len(orders), len(cuts), len(orders[0])))
    for row, order in zip(factors, orders, strict=True):
        for setting, cut in zip(row, cuts, strict=True):
            setting[order[:cut]] = factor
    settings, index = np.unique(factors.reshape(-1, factors.shape[-1]), axis=0, return_inverse=True)
    return settings, index.reshape(factors.shape[:2])


def _cuts(cuts: Sequence[int] | None, heads: int) -> list[int]:
    if cuts is None:
        return np.unique(np.linspace(0, heads, CUTS).round().astype(int)).tolist()
    wrong = [cut for cut in cuts if not 0 <= cut <= heads]
    if wrong:
        raise ParameterError(f"the cuts {wrong} are not between 0 and {heads} heads")
    return sorted({0, heads, *cuts})
