"""The published numbers of the experiments, on Stable Diffusion 1.4, beside one's own.

They are from arXiv 2412.02237: its released code, or what its reviews quote of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrvlab.experiments.weakening.conditions import LEAST_FIRST, MOST_FIRST
from hrvlab.experiments.weakening.curves import area, by_kind

if TYPE_CHECKING:
    import xarray as xr

CLIP = "CLIP"
STYLE = "Image Style"
# Area under the curve of Image Style by the kind of order, from the released scores.
AREAS = {MOST_FIRST: 0.1437, LEAST_FIRST: 0.2174}
# Shares of images that people called misread.
MISREAD = {"plain": 0.630, "adjusting": 0.159}
# CLIP's similarity to what the new word asks for, and that of the best other method.
TARGETS = {STYLE: (0.3424, 0.3286), "Weather Conditions": (0.3348, 0.3046)}
# What A&E-HRV gains over A&E: similarity to the whole prompt, and to its worse object.
GAINS = {"objects": (0.045, 0.030), "colored objects": (0.023, 0.051)}


def weakening_beside(curves: xr.Dataset) -> str:
    """Write the areas under the curves of Image Style beside the published ones, as Markdown.

    Parameters
    ----------
    curves : xarray.Dataset
        With the dims ``concept`` and ``evaluator``.

    Returns
    -------
    str
    """
    rows = []
    if STYLE in curves["concept"].values and CLIP in curves["evaluator"].values:
        own = by_kind(area(curves.sel(concept=STYLE, evaluator=CLIP))).mean(("prompt", "seed"))
        here = {kind: float(own.sel(kind=kind)) for kind in AREAS if kind in own["kind"].values}
        for kind, number in AREAS.items():
            mine = f"{here[kind]:.4f}" if kind in here else ""
            rows.append((f"{STYLE}, area under {kind}", f"{number:.4f}", mine))
        gap = AREAS[LEAST_FIRST] - AREAS[MOST_FIRST]
        mine = f"{here[LEAST_FIRST] - here[MOST_FIRST]:.4f}" if {*here} == {*AREAS} else ""
        rows.append((f"{STYLE}, area gap", f"{gap:.4f}", mine))
    return _table(rows, "scores of another CLIP, 14 cuts, three seeds")


def disambiguation_beside(found: xr.Dataset) -> str:
    """Write the shares of misread images beside the published ones, as Markdown.

    Parameters
    ----------
    found : xarray.Dataset
        Data of `disambiguate`, with the dim ``evaluator``.

    Returns
    -------
    str
    """
    rates = found["misread"].astype(float).mean(("prompt", "seed"))
    rows = [
        (f"misread, {condition} ({name})", f"{share:.1%}", f"{float(mine):.1%}")
        for condition, share in MISREAD.items()
        for name in found["evaluator"].values
        for mine in [rates.sel(condition=condition, evaluator=name)]
    ]
    return _table(rows, "ten words, most of them unknown, judged by people")


def editing_beside(found: xr.Dataset) -> str:
    """Write the scores of what new words ask for beside the published ones, as Markdown.

    Parameters
    ----------
    found : xarray.Dataset
        Data of `compare_edits`, with the dim ``evaluator``.

    Returns
    -------
    str
    """
    rows = []
    if CLIP in found["evaluator"].values:
        scores = found["target_score"].sel(evaluator=CLIP).mean("seed")
        for concept, (ours, next_best) in TARGETS.items():
            if concept in found["concept"].values:
                own = scores.isel(prompt=found["concept"].values == concept).mean("prompt")
                hrv, p2p = (float(own.sel(condition=name)) for name in ("P2P-HRV × 1", "P2P"))
                rows.append((f"{concept}, P2P-HRV", f"{ours:.4f}", f"{hrv:.4f}"))
                rows.append((f"{concept}, the next best; P2P", f"{next_best:.4f}", f"{p2p:.4f}"))
    return _table(rows, "another CLIP, 50 or 25 pairs of words")


def neglect_beside(found: dict[str, xr.Dataset]) -> str:
    """Write what A&E-HRV gains over A&E beside the published gains, as Markdown.

    Parameters
    ----------
    found : dict of str to xarray.Dataset
        Data of `compare_excitations` by section, with the dim ``evaluator``.

    Returns
    -------
    str
    """
    rows = []
    for section, published in GAINS.items():
        if section not in found or CLIP not in found[section]["evaluator"].values:
            continue
        data = found[section].sel(evaluator=CLIP)
        for name, scores, gain in zip(
            ("the whole prompt", "its worse object"),
            (data["prompt_score"], data["score"].min("object")),
            published,
            strict=True,
        ):
            means = scores.mean(("prompt", "seed"))
            own = float(means.sel(condition="A&E-HRV") / means.sel(condition="A&E")) - 1
            rows.append((f"{section}: similarity to {name}", f"{gain:+.1%}", f"{own:+.1%}"))
    return _table(rows, "A&E-HRV compared with A&E, by another CLIP, 66 and 150 prompts")


def _table(rows: Sequence[tuple[str, str, str]], about: str) -> str:
    """Write rows of a measure, its published number and one's own."""
    if not rows:
        return "None of what was measured here has a published number."
    lines = ["| measure | published | here |", "| --- | ---: | ---: |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + (
        f"\n\nPublished: Stable Diffusion 1.4, {about}. Only the direction of a difference can be "
        "compared with another model, other prompts and another evaluator."
    )
