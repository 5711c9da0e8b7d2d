"""What each head does by itself: weaken it alone, and see how much of the concept goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.attention.edits import CONTENT
from hrvlab.capture import capture
from hrvlab.errors import ParameterError
from hrvlab.experiments.curves import LEVEL, RESAMPLES
from hrvlab.experiments.scoring import Score, score_names
from hrvlab.experiments.sweep import check, open_ledger, sweep
from hrvlab.ledger import keep
from hrvlab.models.heads import head_table
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.similarity import mean_ranks
from hrvlab.relevance.vectors import stack_heads
from hrvlab.store import provenance

SPLITS = 200


def head_effects(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    factor: float = -2.0,
    seeds: Sequence[int] = (0,),
    tokens: str | Sequence[str] = CONTENT,
    window: tuple[int, int | None] = (0, None),
    batch_size: int = 16,
    store: str | Path | None = None,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Weaken every head alone, and measure by how much its pictures' score falls.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompts : sequence of str
    texts : sequence of str
        For each prompt, what its pictures are scored against.
    score : Score or mapping of str to Score
        On the miniature, `judge_score` gives the probability of the right answer; or several, by
        the names of their witnesses.
    factor : float
        What the weakened head's attention is multiplied with.
    seeds : sequence of int
        Of the initial noise.
    tokens : str or sequence of str
        ``"content"``: every word of the prompt; ``"scored"``: only the word that its pictures are
        scored against; or a word, or several.
    window : tuple of int or None
        First UNet call and past-the-last UNet call in which the head is weakened.
    batch_size : int
        Part of the plan.
    store : str or Path, optional
        Keeps finished batches, pictures and the result, in a folder of its own for every plan.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``effect (head_position, prompt, seed)`` float32, the untouched picture's score less that
        of the picture drawn without the head: positive where the head matters; and ``plain (prompt,
        seed)``, the untouched picture's score. For several scores both with the leading dim
        ``witness``.

    Raises
    ------
    ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    table = head_table(pipe.unet)
    heads = table.sizes["head_position"]
    settings = np.ones((heads + 1, heads))
    settings[range(heads), range(heads)] = factor
    check(pipe, settings, prompts, texts, score, seeds, tokens, window, batch_size, call)
    parameters = {
        "experiment": "head effects",
        "prompts": list(prompts),
        "texts": list(texts),
        "score": score_names(score),
        "factor": factor,
        "seeds": list(seeds),
        "tokens": tokens if isinstance(tokens, str) else list(tokens),
        "window": list(window),
        "batch_size": batch_size,
        **call,
    }
    ledger = None if store is None else open_ledger(pipe, store, parameters)

    def effects() -> xr.Dataset:
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
            name="head effects",
            progress=progress,
            **call,
        ).rename(setting="head_position")
        alone, plain = result.isel(head_position=slice(heads)), result.isel(head_position=heads)
        effect = alone.assign(
            effect=-(alone["score"] - plain["score"]), plain=plain["score"]
        ).drop_vars("score")
        return effect.assign_coords(table.coords).assign_attrs(
            provenance(pipe, "effects", seed=list(seeds), parameters=parameters)
        )

    return keep(ledger, effects)


def effects_beside_attention(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    factor: float = -2.0,
    seeds: Sequence[int] = (0,),
    store: str | Path | None = None,
    **call: Any,
) -> xr.Dataset:
    """Weaken every head alone, and capture how much it attends to what is scored.

    Parameters
    ----------
    pipe, prompts, texts, score, factor, seeds, store
        See `head_effects`; every text is a word of its prompt.
    **call
        Keywords of the pipeline's own call, ``batch_size`` and ``progress``.

    Returns
    -------
    xarray.Dataset
        What `head_effects` gives, and ``attention (head_position)`` of the pictures of the first
        seed: see `word_attention`.
    """
    columns = [word_columns(pipe.tokenizer, *pair) for pair in zip(prompts, texts, strict=True)]
    effects = head_effects(
        pipe, prompts, texts=texts, score=score, factor=factor, seeds=seeds, store=store, **call
    )
    captured = capture(pipe, prompts, seed=seeds[0], **call)
    return effects.assign(attention=word_attention(captured, columns, head_table(pipe.unet)))


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give Spearman's correlation along the last axis; ties share their mean rank.

    Parameters
    ----------
    a, b : ndarray of float, shape (..., n)

    Returns
    -------
    ndarray of float64, shape (...)
        NaN where all of a row are equal.
    """
    x, y = (r - r.mean(axis=-1, keepdims=True) for r in map(mean_ranks, (a, b)))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1))


def reliability(effects: xr.DataArray, *, splits: int = SPLITS, seed: int = 0) -> float:
    """Say how well the effects would agree with a second measurement of the same size.

    Parameters
    ----------
    effects : xarray.DataArray, dims (head_position, prompt, seed)
    splits : int
        Random divisions of the pictures into halves.
    seed : int

    Returns
    -------
    float
        Mean rank correlation between the halves' effects, stepped up to the full size by the
        formula of Spearman and Brown. No vector can be expected to agree better than its root.

    Raises
    ------
    ParameterError
        If there are fewer than two pictures a head.
    """
    samples = _samples(effects)
    count = samples.shape[1]
    if count < 2:
        raise ParameterError("one picture a head cannot be split; give more prompts or seeds")
    rng = np.random.Generator(np.random.Philox(key=seed))
    orders = np.stack([rng.permutation(count) for _ in range(splits)])
    first, second = (
        samples[:, part].mean(-1).T for part in (orders[:, : count // 2], orders[:, count // 2 :])
    )
    half = float(rank_correlation(first, second).mean())
    return 2 * half / (1 + half)


def agreement(
    effects: xr.DataArray, vectors: Mapping[str, xr.DataArray], *, seed: int = 0
) -> xr.Dataset:
    """Correlate what heads do with what several vectors say of them.

    Parameters
    ----------
    effects : xarray.DataArray, dims (head_position, prompt, seed)
    vectors : mapping of str to xarray.DataArray, dims (head_position)
        Such as a Head Relevance Vector and what it should be better than.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``correlation``, ``low`` and ``high`` over ``vector``: Spearman's correlation with the mean
        effect, and its 95 % bootstrap interval over prompts and seeds; the same resamples are drawn
        for every vector. ``lead``, ``lead_low`` and ``lead_high``: by how much the first vector's
        correlation is higher.
    """
    samples = _samples(effects)
    count = samples.shape[1]
    rng = np.random.Generator(np.random.Philox(key=seed))
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    resampled = weights @ samples.T
    values = np.stack([vector.values for vector in vectors.values()])
    drawn = rank_correlation(resampled[:, None], values[None])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    lead_low, lead_high = np.quantile(drawn[:, :1] - drawn, [tail, 1 - tail], axis=0)
    correlation = rank_correlation(samples.mean(1)[None], values)
    return xr.Dataset(
        {
            "correlation": ("vector", correlation),
            "low": ("vector", low),
            "high": ("vector", high),
            "lead": ("vector", correlation[0] - correlation),
            "lead_low": ("vector", lead_low),
            "lead_high": ("vector", lead_high),
        },
        {"vector": list(vectors)},
    )


def word_attention(
    captured: xr.Dataset, columns: Sequence[Sequence[int]], table: xr.Dataset
) -> xr.DataArray:
    """Average each head's attention to one word of every prompt: what a vector should beat.

    Parameters
    ----------
    captured : xarray.Dataset
        From `hrvlab.capture`.
    columns : sequence of sequence of int, shape (prompt, column)
        The word's token columns in every prompt; their attention is added up.
    table : xarray.Dataset
        The model's `head_table`.

    Returns
    -------
    xarray.DataArray
        Dims ``(head_position)``, in [0, 1]; mean over prompts and calls.
    """
    by_call = captured["attention"].mean("timestep")
    of_words = [
        by_call.isel(prompt=prompt, token=list(word)).sum("token")
        for prompt, word in enumerate(columns)
    ]
    return stack_heads(xr.concat(of_words, "prompt").mean("prompt"), table).rename("attention")


def _samples(effects: xr.DataArray) -> NDArray[np.float64]:
    flat = effects.stack(sample=("prompt", "seed"), create_index=False)
    return flat.transpose("head_position", "sample").values.astype(np.float64)
