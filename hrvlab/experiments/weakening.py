"""Ordered weakening: weaken heads in the order of their relevance, and see the concept go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hrvlab.attention import Rescale
from hrvlab.attention.edits import CONTENT
from hrvlab.errors import ConceptError, ParameterError
from hrvlab.experiments.pictures import keep_images
from hrvlab.experiments.scoring import Score
from hrvlab.generation import Batch, as_uint8, plan_batches, run_batch
from hrvlab.models.load import fingerprint
from hrvlab.relevance.vectors import check_model, rank
from hrvlab.store import DATA, Ledger, provenance, read_dataset, validate, write_dataset

# Part of every plan: units computed by another version of this algorithm are not mixed in.
ALGORITHM = 1
MOST_FIRST, LEAST_FIRST, RANDOM = "MoRHF", "LeRHF", "random"
KINDS = (MOST_FIRST, LEAST_FIRST, RANDOM)
CUTS = 9


@dataclass(frozen=True)
class Trial:
    """One picture of a sweep: the heads weakened, the prompt and the seed.

    Parameters
    ----------
    order : int
        Number of the order; 0 for the cuts that all orders share.
    cut : int
        Number of the cut.
    prompt, seed : int
        Their numbers.
    """

    order: int
    cut: int
    prompt: int
    seed: int


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
    return orders


def weaken(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    concept: str,
    prompts: Sequence[str],
    *,
    texts: Sequence[str],
    score: Score,
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
    score : Score
        Such as `clip_score` gives.
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
        ``"content"``: every word of the prompt; or a word, or several.
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
        ``score (order, weakened, prompt, seed)`` float32; with a store also ``image``, the
        pictures' file names below the store's ``images``. ``kind (order)`` tells random orders
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
    names = [str(name) for name in hrv["concept"].values]
    if concept not in names:
        raise ConceptError(f"there is no concept {concept!r}; there are: {', '.join(names)}")
    if len(texts) != len(prompts):
        raise ParameterError(f"{len(prompts)} prompts need as many texts, got {len(texts)}")
    plan_batches(prompts, list(seeds), batch_size)
    relevance = hrv.isel(concept=names.index(concept))
    ordered = make_orders(relevance, orders, draws=draws, seed=seeds[0])
    heads = relevance.sizes["head_position"]
    counts = _cuts(cuts, heads)
    edit = Rescale(np.ones(heads), tokens, window)
    edit.columns(pipe.tokenizer, prompts)
    trials = list_trials(len(ordered), len(counts), len(prompts), len(seeds))
    parameters = {
        "concept": concept,
        "prompts": list(prompts),
        "texts": list(texts),
        "score": score.name,
        "orders": {name: order.tolist() for name, order in ordered.items()},
        "cuts": counts,
        "factor": factor,
        "seeds": list(seeds),
        "tokens": tokens if isinstance(tokens, str) else list(tokens),
        "window": list(window),
        "batch_size": batch_size,
        **call,
    }
    ledger = None
    if store is not None:
        scheduler = {k: v for k, v in pipe.scheduler.config.items() if k[0] != "_"}
        plan = {"algorithm": ALGORITHM, "model": fingerprint(pipe), "scheduler": scheduler}
        ledger = Ledger(Path(store), {**plan, "dtype": str(pipe.unet.dtype), **parameters})
        if (ledger.folder / DATA).exists():
            return read_dataset(ledger.folder / DATA)
    permutations = list(ordered.values())
    scores = np.empty(len(trials), np.float32)
    starts = range(0, len(trials), batch_size)
    for number, start in enumerate(tqdm(starts, "weaken", disable=not progress)):
        chunk = trials[start : start + batch_size]
        unit = ledger.read(number) if ledger else None
        if unit is None:
            factors = np.ones((len(chunk), heads))
            for row, trial in zip(factors, chunk, strict=True):
                row[permutations[trial.order][: counts[trial.cut]]] = factor
            batch = Batch(
                tuple(prompts[trial.prompt] for trial in chunk),
                tuple(trial.prompt for trial in chunk),
                tuple(seeds[trial.seed] for trial in chunk),
            )
            part = Rescale(factors, tokens, window)
            made, _ = run_batch(pipe, batch, part, output_type="np", **call)
            images = as_uint8(made)
            unit = {"score": score(images, [texts[trial.prompt] for trial in chunk])}
            if ledger:
                keep_images(ledger.folder, [image_name(trial) for trial in chunk], images)
                ledger.finish(number, **unit)
        scores[start : start + len(chunk)] = unit["score"]
    curves = _labelled(trials, scores, ordered, counts, heads, with_images=ledger is not None)
    curves = curves.assign_coords(
        prompt_text=("prompt", list(prompts)), text=("prompt", list(texts)), seed=list(seeds)
    )
    curves.attrs = provenance(pipe, "weakening", seed=list(seeds), parameters=parameters)
    if ledger is None:
        return validate(curves)
    write_dataset(curves, ledger.folder / DATA)
    return read_dataset(ledger.folder / DATA)


def list_trials(orders: int, cuts: int, prompts: int, seeds: int) -> list[Trial]:
    """List the pictures of a sweep; the first and the last cut are made once for all orders."""
    return [
        Trial(order, cut, prompt, seed)
        for prompt in range(prompts)
        for seed in range(seeds)
        for order in range(orders)
        for cut in range(cuts)
        if order == 0 or 0 < cut < cuts - 1
    ]


def image_name(trial: Trial) -> str:
    """Name a trial's picture."""
    return f"{trial.prompt:03d}-{trial.seed:03d}-{trial.order:02d}-{trial.cut:02d}.png"


def _cuts(cuts: Sequence[int] | None, heads: int) -> list[int]:
    if cuts is None:
        return np.unique(np.linspace(0, heads, CUTS).round().astype(int)).tolist()
    wrong = [cut for cut in cuts if not 0 <= cut <= heads]
    if wrong:
        raise ParameterError(f"the cuts {wrong} are not between 0 and {heads} heads")
    return sorted({0, heads, *cuts})


def _labelled(
    trials: Sequence[Trial],
    scores: NDArray[np.float32],
    orders: dict[str, NDArray[np.int64]],
    cuts: list[int],
    heads: int,
    *,
    with_images: bool,
) -> xr.Dataset:
    """Lay scores out by order, cut, prompt and seed, the shared cuts repeated for every order."""
    number = {trial: index for index, trial in enumerate(trials)}
    last = len(cuts) - 1
    prompts, seeds = (1 + max(getattr(t, name) for t in trials) for name in ("prompt", "seed"))
    index = np.empty((len(orders), len(cuts), prompts, seeds), np.int64)
    for order, cut, prompt, seed in np.ndindex(index.shape):
        shared = cut in (0, last)
        index[order, cut, prompt, seed] = number[Trial(0 if shared else order, cut, prompt, seed)]
    dims = ("order", "weakened", "prompt", "seed")
    variables = {"score": (dims, scores[index])}
    if with_images:
        names = np.array([image_name(trial) for trial in trials])
        variables["image"] = (dims, names[index])
    coords = {
        "order": list(orders),
        "kind": ("order", [name.split(" ")[0] for name in orders]),
        "weakened": cuts,
        "share": ("weakened", np.array(cuts) / heads),
    }
    return xr.Dataset(variables, coords)
