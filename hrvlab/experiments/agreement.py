"""What vectors say of heads, held against what the heads do, for every concept and witness."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from hrvlab.experiments.causal import agreement, reliability

RELEVANCE, ATTENTION, RANDOM = "relevance vector", "attention to the word", "random"


def vectors_and_baselines(effects: xr.Dataset, hrv: xr.DataArray) -> dict[str, xr.DataArray]:
    """Give Head Relevance Vectors, and what they should be better than.

    The share of votes without the normalisation is not among them: within a concept it ranks the
    heads exactly as the vector does.

    Parameters
    ----------
    effects : xarray.Dataset
        With ``attention (concept, head_position)``, from `word_attention`.
    hrv : xarray.DataArray, dims (concept, head_position)
    """
    lottery = np.random.Generator(np.random.Philox(key=0)).random(hrv.shape)
    return {RELEVANCE: hrv, ATTENTION: effects["attention"], RANDOM: hrv.copy(data=lottery)}


def agreement_by_concept(effects: xr.Dataset, vectors: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Correlate what heads do with what several kinds of vectors say of them.

    Parameters
    ----------
    effects : xarray.Dataset
        ``effect (witness, concept, head_position, prompt, seed)``, from `head_effects`.
    vectors : mapping of str to xarray.DataArray, dims (concept, head_position)

    Returns
    -------
    xarray.Dataset
        Over ``(witness, concept, vector)`` what `agreement` gives; over ``(witness, concept)``
        ``reliability``, and its root, the ``ceiling`` of any correlation (0 where the reliability
        is negative).
    """
    rows = []
    for witness in effects["witness"].values:
        row = []
        for concept in effects["concept"].values:
            effect = effects["effect"].sel(witness=witness, concept=concept)
            own = {name: of_all.sel(concept=concept) for name, of_all in vectors.items()}
            reliable = reliability(effect)
            row.append(
                agreement(effect, own).assign(reliability=reliable, ceiling=max(reliable, 0) ** 0.5)
            )
        rows.append(xr.concat(row, effects["concept"]))
    return xr.concat(rows, effects["witness"])


def describe(found: xr.Dataset) -> str:
    """Say for how many concepts the first vector foretells what heads do, and better than others.

    Parameters
    ----------
    found : xarray.Dataset, dims (witness, concept, vector)
        From `agreement_by_concept`.

    Returns
    -------
    str
        Markdown, with an item for each witness.
    """
    first, *others = (str(name) for name in found["vector"].values)
    lines = []
    for witness in found["witness"].values:
        one = found.sel(witness=witness)
        own = one.sel(vector=first)
        line = (
            f"- **{witness}**: the correlation of the *{first}* with what heads do is clearly "
            f"positive for **{int((own['low'] > 0).sum())} of {one.sizes['concept']}** concepts "
            f"and clearly negative for {int((own['high'] < 0).sum())}; its mean is "
            f"{float(own['correlation'].mean()):.2f}, and {float(one['ceiling'].mean()):.2f} was "
            f"the most to be expected."
        )
        for name in others:
            other = one.sel(vector=name)
            line += (
                f" It is clearly higher than that of *{name}* (mean "
                f"{float(other['correlation'].mean()):.2f}) for "
                f"{int((other['lead_low'] > 0).sum())} concepts and clearly lower for "
                f"{int((other['lead_high'] < 0).sum())}."
            )
        lines.append(line)
    return "\n".join(lines)
