"""How relevance vectors agree with the measured effects of heads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from hrvlab.statistics import (
    correlation,
    mean_of_present,
    percentile_interval,
    resample_weights,
    split_half_reliability,
    weighted_means,
)

RELEVANCE, ATTENTION, RANDOM = "relevance vector", "attention to the word", "random"


def agreement(
    effects: xr.DataArray, vectors: Mapping[str, xr.DataArray], *, seed: int = 0
) -> xr.Dataset:
    """Correlate the effects of heads with several vectors.

    Parameters
    ----------
    effects : xarray.DataArray, dims (head_position, prompt, seed)
    vectors : mapping of str to xarray.DataArray, dims (head_position)
        Such as a Head Relevance Vector and baselines that it should surpass.
    seed : int
        Of the bootstrap.

    Returns
    -------
    xarray.Dataset
        ``correlation``, ``low`` and ``high`` over ``vector``: Spearman's correlation with the mean
        effect, and its 95 % bootstrap interval over prompts and their images; the same resamples
        are drawn for every vector. ``lead``, ``lead_low`` and ``lead_high``: by how much the first
        vector's correlation is higher.

    Examples
    --------
    >>> from hrvlab.experiments.head_effects import agreement
    >>> effects = xr.DataArray([0.1, 0.2, 0.4], dims="head_position")
    >>> effects = effects.expand_dims(prompt=2, seed=2)
    >>> found = agreement(effects, {"same": effects[0, 0], "reversed": -effects[0, 0]})
    >>> found["correlation"].values.round(3).tolist()
    [1.0, -1.0]
    """
    samples = effects.transpose("head_position", "prompt", "seed").values.astype(np.float64)
    _, prompts, seeds = samples.shape
    weights = resample_weights(range(prompts), seeds, seed=seed)
    resampled = weighted_means(samples, weights).T
    heads = effects["head_position"].values
    values = np.stack([vector.sel(head_position=heads).values for vector in vectors.values()])
    drawn = correlation(resampled[:, None], values[None], ranked=True)
    low, high = percentile_interval(drawn)
    lead_low, lead_high = percentile_interval(drawn[:, :1] - drawn)
    means = mean_of_present(samples.reshape(len(samples), -1))
    found = correlation(means[None], values, ranked=True)
    return xr.Dataset(
        {
            "correlation": ("vector", found),
            "low": ("vector", low),
            "high": ("vector", high),
            "lead": ("vector", found[0] - found),
            "lead_low": ("vector", lead_low),
            "lead_high": ("vector", lead_high),
        },
        {"vector": list(vectors)},
    )


def vectors_and_baselines(effects: xr.Dataset, hrv: xr.DataArray) -> dict[str, xr.DataArray]:
    """Collect Head Relevance Vectors and the baselines that they should surpass.

    The share of votes without the normalization is not among them: within a concept it ranks the
    heads exactly as the vector does.

    Parameters
    ----------
    effects : xarray.Dataset
        With ``attention (concept, head_position)``, from `effects_beside_attention`.
    hrv : xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    dict of str to xarray.DataArray, dims (concept, head_position)

    Examples
    --------
    >>> from hrvlab.experiments.head_effects import vectors_and_baselines
    >>> list(vectors_and_baselines(xr.Dataset({"attention": hrv}), hrv))
    ['relevance vector', 'attention to the word', 'random']
    """
    chance = np.random.Generator(np.random.Philox(key=0)).random(hrv.shape)
    return {RELEVANCE: hrv, ATTENTION: effects["attention"], RANDOM: hrv.copy(data=chance)}


def agreement_by_concept(effects: xr.Dataset, vectors: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Correlate the effects of heads with several kinds of vectors, for every concept.

    Parameters
    ----------
    effects : xarray.Dataset
        ``effect (evaluator, concept, head_position, prompt, seed)``, from `head_effects`.
    vectors : mapping of str to xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.Dataset
        Over ``(evaluator, concept, vector)`` what `agreement` returns; over ``(evaluator,
        concept)`` the ``reliability`` of the effects, from 0 to 1, and its square root, the
        ``ceiling`` of any correlation.

    Examples
    --------
    >>> from hrvlab.experiments.head_effects import agreement_by_concept
    >>> effect = hrv.expand_dims(evaluator=["judge"], prompt=2, seed=1)
    >>> found = agreement_by_concept(xr.Dataset({"effect": effect}), {"itself": hrv})
    >>> found["correlation"].min().round(3).item(), found["ceiling"].min().round(3).item()
    (1.0, 1.0)
    """
    rows = []
    for evaluator in effects["evaluator"].values:
        row = []
        for concept in effects["concept"].values:
            effect = effects["effect"].sel(evaluator=evaluator, concept=concept)
            own = {name: of_all.sel(concept=concept) for name, of_all in vectors.items()}
            reliability = split_half_reliability(effect)
            row.append(
                agreement(effect, own).assign(reliability=reliability, ceiling=reliability**0.5)
            )
        rows.append(xr.concat(row, effects["concept"]))
    return xr.concat(rows, effects["evaluator"])
