"""Findings in words of how relevance vectors agree with the effects of heads."""

from __future__ import annotations

from math import isnan

import xarray as xr

CLEAR = (
    "*Clearly* means that the 95 % bootstrap interval over prompts and their images excludes zero."
)


def describe(found: xr.Dataset) -> str:
    """Count the concepts for which the first vector predicts effects, and better than the others.

    Parameters
    ----------
    found : xarray.Dataset, dims (evaluator, concept, vector)
        From `agreement_by_concept`.

    Returns
    -------
    str
        Markdown, with an item for each evaluator.

    Examples
    --------
    >>> from hrvlab.experiments.head_effects import agreement_by_concept, describe
    >>> effect = hrv.sel(concept=["Color"]).expand_dims(evaluator=["judge"], prompt=2, seed=1)
    >>> found = agreement_by_concept(xr.Dataset({"effect": effect}), {"relevance vector": hrv})
    >>> print(describe(found))
    - **judge**: the correlation of the *relevance vector* with the effects of heads is clearly
      positive for **1 of 1** concepts and clearly negative for 0; its mean is 1.00, and the most
      to be expected was 1.00.
    <BLANKLINE>
    *Clearly* means that the 95 % bootstrap interval over prompts and their images excludes zero.
    """
    first, *others = (str(name) for name in found["vector"].values)
    lines = []
    for evaluator in found["evaluator"].values:
        one = found.sel(evaluator=evaluator)
        own = one.sel(vector=first)
        ceiling = float(one["ceiling"].mean())
        most = "unknown, because there is only one prompt" if isnan(ceiling) else f"{ceiling:.2f}"
        line = (
            f"- **{evaluator}**: the correlation of the *{first}* with the effects of heads is "
            f"clearly positive for **{int((own['low'] > 0).sum())} of {one.sizes['concept']}** "
            f"concepts and clearly negative for {int((own['high'] < 0).sum())}; its mean is "
            f"{float(own['correlation'].mean()):.2f}, and the most to be expected was {most}."
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
    return "\n".join([*lines, "", CLEAR])
